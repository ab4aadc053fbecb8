/**
 * The TypeScript client of Nexo.
 *
 * @packageDocumentation
 */
export { NexoClient, type ServerInfo } from './client.js';
export { type Codec, decode, encode } from './codec.js';
export type { Arg, NexoConnection, Reply } from './connection.js';
export type { Subscription } from './consumer.js';
export {
  ConnectionClosedError,
  NexoError,
  NotConnectedError,
  NotFoundError,
  RequestTimeoutError,
  ServerError,
  ValidationError,
} from './errors.js';
export type {
  CallBegin,
  CallEnd,
  CallOpts,
  Logger,
  LogLevel,
  MessageBegin,
  MessageEnd,
  NexoOptions,
  NexoTelemetry,
  TypedOptions,
} from './options.js';
export { type MessageMeta, NexoTopic, type PublishOptions } from './pubsub.js';
export {
  type AddOptions,
  type DeadJob,
  NexoDLQ,
  NexoQueue,
  type PeekedJob,
  type PushOptions,
  type QueueConfig,
  type QueueMessage,
  type QueueStats,
  type SubscribeOptions,
} from './queue.js';
export { NexoMap, NexoStore, type ReadOptions, type SetOptions } from './store.js';
export {
  type AppendOptions,
  type GroupInfo,
  NexoStream,
  type StreamConfig,
  type StreamEntry,
  type StreamInfo,
  type StreamMessage,
  type StreamPosition,
  type StreamSubscribeOptions,
} from './stream.js';
