import { expectTypeOf, test } from 'vitest';
import type { NexoClient, NexoQueue, NexoStream, NexoTopic, QueueMessage, StreamMessage, Subscription } from '../src/index.js';

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
