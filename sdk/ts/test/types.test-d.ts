import { expectTypeOf, test } from 'vitest';
import type {
  AddOptions,
  AppendedRange,
  AppendManyOptions,
  AppendOptions,
  Backoff,
  CallOpts,
  CloseOptions,
  DeadPeekOptions,
  EntryJson,
  LogHandler,
  NackOptions,
  NexoClient,
  NexoDLQ,
  NexoMap,
  NexoOptions,
  NexoQueue,
  NexoStream,
  NexoTopic,
  PeekOptions,
  PublishOptions,
  QueueConfig,
  QueueMessage,
  QueuePushOptions,
  QueueSubscribeOptions,
  ReconnectOptions,
  ReplayOptions,
  ScanOptions,
  SetManyOptions,
  SetOptions,
  StreamEntry,
  StreamMessage,
  StreamReadOptions,
  StreamSubscribeOptions,
  SubscribeOptions,
  Subscription,
  TailOptions,
  TlsOptions,
  TopicMessagesOptions,
} from '../src/index.js';

interface Job {
  to: string;
}
declare const client: NexoClient;

test('types follow the name that was asked for', () => {
  expectTypeOf(client.queue<Job>('q')).toEqualTypeOf<NexoQueue<Job>>();
  expectTypeOf(client.stream<Job>('s')).toEqualTypeOf<NexoStream<Job>>();
  expectTypeOf(client.pubsub<Job>('t')).toEqualTypeOf<NexoTopic<Job>>();
  expectTypeOf(client.store.map.get<Job>('k')).resolves.toEqualTypeOf<Job | null>();
  expectTypeOf(client.store.map.getMany<Job>(['k'])).resolves.toEqualTypeOf<(Job | null)[]>();
  expectTypeOf(client.queue<Job>('q').create()).resolves.toEqualTypeOf<NexoQueue<Job>>();
});

test('without a type anything goes', () => {
  expectTypeOf(client.queue('q')).toEqualTypeOf<NexoQueue<any>>();
  expectTypeOf(client.stream('s')).toEqualTypeOf<NexoStream<any>>();
  expectTypeOf(client.pubsub('t')).toEqualTypeOf<NexoTopic<any>>();
  expectTypeOf(client.store.map.get('k')).resolves.toBeAny();
  client.queue('q').subscribe((job) => job.to.length);
  client.stream('s').subscribe('g', (entry) => entry.to.length);
  client.pubsub('t').subscribe((data) => data.to.length);
  client.store.map.update('k', (value) => ({ ...value, n: value.n + 1 }));
});

test('every option has a type that can be named', () => {
  expectTypeOf<Parameters<NexoQueue['push']>[1]>().toEqualTypeOf<AddOptions | undefined>();
  expectTypeOf<QueuePushOptions>().toEqualTypeOf<AddOptions>();
  expectTypeOf<Parameters<NexoQueue['subscribe']>[1]>().toEqualTypeOf<SubscribeOptions | undefined>();
  expectTypeOf<QueueSubscribeOptions>().toEqualTypeOf<SubscribeOptions>();
  expectTypeOf<Parameters<NexoQueue['peek']>[1]>().toEqualTypeOf<PeekOptions | undefined>();
  expectTypeOf<Parameters<QueueMessage['nack']>[1]>().toEqualTypeOf<NackOptions | undefined>();
  expectTypeOf<Parameters<NexoDLQ['peek']>[2]>().toEqualTypeOf<DeadPeekOptions | undefined>();
  expectTypeOf<Parameters<NexoDLQ['replayAll']>[0]>().toEqualTypeOf<ReplayOptions | undefined>();
  expectTypeOf<QueueConfig['backoff']>().toEqualTypeOf<Backoff | undefined>();
  expectTypeOf<Parameters<NexoStream['append']>[1]>().toEqualTypeOf<AppendOptions | undefined>();
  expectTypeOf<Parameters<NexoStream['appendMany']>[1]>().toEqualTypeOf<AppendManyOptions | undefined>();
  expectTypeOf<Parameters<NexoStream['read']>[0]>().toEqualTypeOf<StreamReadOptions | undefined>();
  expectTypeOf<Parameters<NexoStream['tail']>[0]>().toEqualTypeOf<TailOptions | undefined>();
  expectTypeOf<Parameters<NexoStream['subscribe']>[2]>().toEqualTypeOf<StreamSubscribeOptions | undefined>();
  expectTypeOf<Parameters<NexoTopic['publish']>[1]>().toEqualTypeOf<PublishOptions | undefined>();
  expectTypeOf<Parameters<NexoTopic['messages']>[0]>().toEqualTypeOf<TopicMessagesOptions | undefined>();
  expectTypeOf<Parameters<NexoMap['set']>[2]>().toEqualTypeOf<SetOptions | undefined>();
  expectTypeOf<Parameters<NexoMap['setMany']>[1]>().toEqualTypeOf<SetManyOptions | undefined>();
  expectTypeOf<Parameters<NexoMap['scan']>[0]>().toEqualTypeOf<ScanOptions | undefined>();
  expectTypeOf<Parameters<NexoClient['close']>[0]>().toEqualTypeOf<CloseOptions | undefined>();
  expectTypeOf<Parameters<NexoClient['ping']>[0]>().toEqualTypeOf<CallOpts | undefined>();
  expectTypeOf<NexoOptions['reconnect']>().toEqualTypeOf<ReconnectOptions | undefined>();
  expectTypeOf<NexoOptions['tls']>().toEqualTypeOf<boolean | TlsOptions | undefined>();
  expectTypeOf<LogHandler>().parameters.toEqualTypeOf<['debug' | 'info' | 'warn' | 'error', string]>();
});

test('entries, groups and ranges have a form for JSON', () => {
  expectTypeOf<StreamEntry<Job>['toJSON']>().returns.toEqualTypeOf<EntryJson<Job>>();
  expectTypeOf<AppendedRange['first']>().toBeBigInt();
});

test('a push answers nothing, an add an id, an append an offset', () => {
  expectTypeOf(client.queue<Job>('q').push).returns.resolves.toBeVoid();
  expectTypeOf(client.queue<Job>('q').add).returns.resolves.toBeString();
  expectTypeOf(client.stream<Job>('s').publish).returns.resolves.toBeVoid();
  expectTypeOf(client.stream<Job>('s').append).returns.resolves.toEqualTypeOf<bigint>();
});

test('callbacks get the type, and subscriptions stop', () => {
  client.queue<Job>('q').subscribe((job, message) => {
    expectTypeOf(job).toEqualTypeOf<Job>();
    expectTypeOf(message).toEqualTypeOf<QueueMessage<Job>>();
  });
  client.stream<Job>('s').subscribe('g', (entry, message) => {
    expectTypeOf(entry).toEqualTypeOf<Job>();
    expectTypeOf(message).toEqualTypeOf<StreamMessage<Job>>();
  });
  expectTypeOf(client.queue<Job>('q').subscribe).returns.resolves.toEqualTypeOf<Subscription>();
});

test('what does not fit is refused', () => {
  // @ts-expect-error a number is not a job
  client.queue<Job>('q').push(1);
  // @ts-expect-error there is no such option
  client.queue<Job>('q').push({ to: 'x' }, { prio: 1 });
  // @ts-expect-error a place is named, not numbered
  client.stream<Job>('s').seek('g', 5);
});
