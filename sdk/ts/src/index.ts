/**
 * The TypeScript client of Nexo.
 *
 * @packageDocumentation
 */
export { NexoClient, type ServerInfo } from './client.js';
export { type Codec, decode, encode } from './codec.js';
export type { Arg, NexoConnection, RedisClient, Reply } from './connection.js';
export type { Subscription } from './consumer.js';
export { type DeadJob, type DeadPeekOptions, NexoDLQ, type ReplayOptions } from './dlq.js';
export type { AppendedRange, EntryJson, GroupInfo, StreamEntry, StreamInfo, StreamMessage } from './entries.js';
export {
  ConnectionClosedError,
  NexoError,
  NotConnectedError,
  NotFoundError,
  RequestTimeoutError,
  ServerError,
  ValidationError,
} from './errors.js';
export { type LimiterConfig, type LimiterResult, NexoLimiter, type TakeOptions } from './limiter.js';
export { type LockOptions, NexoLock } from './lock.js';
export type {
  CallBegin,
  CallEnd,
  CallOpts,
  CloseOptions,
  Logger,
  LogHandler,
  LogLevel,
  MessageBegin,
  MessageEnd,
  NexoOptions,
  NexoTelemetry,
  ReconnectOptions,
  TlsOptions,
  TypedOptions,
} from './options.js';
export { type MessageMeta, NexoTopic, type PublishOptions, type TopicMessagesOptions } from './pubsub.js';
export {
  type AddOptions,
  type Backoff,
  type JobState,
  type NackOptions,
  NexoQueue,
  type PeekedJob,
  type PeekOptions,
  type PushOptions,
  type QueueConfig,
  type QueueMessage,
  type QueuePushOptions,
  type QueueStats,
  type QueueSubscribeOptions,
  type SubscribeOptions,
} from './queue.js';
export { NexoMap, NexoStore, type ReadOptions, type ScanOptions, type SetManyOptions, type SetOptions } from './store.js';
export {
  type AppendManyOptions,
  type AppendOptions,
  NexoStream,
  type StreamConfig,
  type StreamPosition,
  type StreamReadOptions,
  type StreamSubscribeOptions,
  type TailOptions,
} from './stream.js';
