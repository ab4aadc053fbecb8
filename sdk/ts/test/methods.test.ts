import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type NexoClient as Client,
  ConnectionClosedError,
  NexoClient,
  NexoError,
  NotConnectedError,
  NotFoundError,
  type QueueMessage,
  RequestTimeoutError,
  ServerError,
  type StreamEntry,
  ValidationError,
} from '../src/index.js';
import { TestServer, until } from './server.js';

let server: TestServer;
let client: Client;
let serial = 0;
let name: string;

beforeAll(async () => {
  server = await TestServer.start();
  client = await server.connect();
});
afterAll(async () => {
  client.disconnect();
  await server.stop();
});
beforeEach(() => {
  name = `test-${++serial}`;
});

/** Rejects unless the promise is rejected with this kind of error and code. */
async function rejected(promise: Promise<unknown>, kind: abstract new (...a: any[]) => Error, code?: string): Promise<NexoError> {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(kind);
  if (code !== undefined) expect((error as NexoError).code).toBe(code);
  return error as NexoError;
}

/** toStrictEqual, which is slow for large Buffers. */
function same(got: unknown, want: unknown): void {
  if (Buffer.isBuffer(want)) {
    expect(Buffer.isBuffer(got) && got.equals(want)).toBe(true);
  } else {
    expect(got).toStrictEqual(want);
  }
}

const values: [string, unknown][] = [
  ['text', 'hello'],
  ['an empty string', ''],
  ['unicode', 'grüße 日本 🚀'],
  ['text that looks like a number', '123'],
  ['text that looks like JSON', '{"a":1}'],
  ['a lone surrogate', '\ud800'],
  ['a number', 42.5],
  ['a boolean', false],
  ['null', null],
  ['a nested object', { a: [1, { b: 'c' }], d: null }],
  ['a big integer as text', '106242075399214372653'],
  ['a Buffer that is not UTF-8', Buffer.from([0, 255, 128, 10, 13])],
  ['a Buffer that is UTF-8', Buffer.from('text in a Buffer')],
  ['an empty Buffer', Buffer.alloc(0)],
  ['a megabyte', Buffer.alloc(1 << 20, 0xfe)],
];

describe('store.map', () => {
  it.each(values)('gives back %s', async (_, value) => {
    expect(await client.store.map.set(name, value)).toBe(true);
    same(await client.store.map.get(name), value);
  });

  it('tells what is missing from what is empty', async () => {
    await client.store.map.set(name, '');
    expect(await client.store.map.get(name)).toBe('');
    expect(await client.store.map.del(name)).toBe(true);
    expect(await client.store.map.del(name)).toBe(false);
    expect(await client.store.map.get(name)).toBeNull();
    expect(await client.store.map.has(name)).toBe(false);
  });

  it('sets under conditions', async () => {
    expect(await client.store.map.set(name, 1, { ifPresent: true })).toBe(false);
    expect(await client.store.map.set(name, 1, { ifAbsent: true })).toBe(true);
    expect(await client.store.map.set(name, 2, { ifAbsent: true })).toBe(false);
    expect(await client.store.map.get(name)).toBe(1);
    await rejected(client.store.map.set(name, 1, { ifAbsent: true, ifPresent: true }), ValidationError);
  });

  it('expires, keeps and loses its expiry', async () => {
    await client.store.map.set(name, 'x', { ttlMs: 40 });
    await until('the key to expire', async () => (await client.store.map.get(name)) === null);
    await client.store.map.set(name, 'x', { ttl: 100 });
    expect(await client.store.map.ttl(name)).toBeGreaterThan(99);
    await client.store.map.set(name, 'y', { keepTtl: true });
    expect(await client.store.map.ttl(name)).toBeGreaterThan(99);
    expect(await client.store.map.persist(name)).toBe(true);
    expect(await client.store.map.ttl(name)).toBe(Number.POSITIVE_INFINITY);
    expect(await client.store.map.expire(name, 50)).toBe(true);
    expect(await client.store.map.expire(`${name}-none`, 50)).toBe(false);
    expect(await client.store.map.ttl(`${name}-none`)).toBeNull();
    await rejected(client.store.map.set(name, 1, { ttl: -1 }), ValidationError);
    await rejected(client.store.map.set(name, 1, { ttl: 1, ttlMs: 1 }), ValidationError);
  });

  it('works on several keys', async () => {
    expect(await client.store.map.setMany({ [`${name}a`]: 1, [`${name}b`]: 'two' })).toBe(true);
    expect(await client.store.map.setMany(new Map([[`${name}a`, 9]]), { ifAbsent: true })).toBe(false);
    expect(await client.store.map.getMany([`${name}a`, `${name}none`, `${name}b`])).toStrictEqual([1, null, 'two']);
    expect(await client.store.map.getMany([])).toStrictEqual([]);
    const found = new Set<string>();
    for await (const key of client.store.map.scan({ match: `${name}*`, count: 1 })) found.add(key);
    expect([...found].sort()).toStrictEqual([`${name}a`, `${name}b`]);
  });

  it('counts, swaps and updates', async () => {
    expect(await client.store.map.incr(name)).toBe(1);
    expect(await client.store.map.incr(name, 41)).toBe(42);
    expect(await client.store.map.incr(name, 0.5)).toBe(42.5);
    expect(await client.store.map.getSet(name, 'now')).toBe(42.5);
    await rejected(client.store.map.incr(name), ServerError);
    await client.store.map.del(name);
    await Promise.all(Array.from({ length: 20 }, () => client.store.map.update<number>(name, (n) => (n ?? 0) + 1)));
    expect(await client.store.map.get(name)).toBe(20);
    expect(await client.store.map.update(name, () => undefined)).toBe(20);
  });

  it('reads and writes as told', async () => {
    await client.store.map.set(name, 123, { as: 'text' });
    expect(await client.store.map.get(name, { as: 'bytes' })).toStrictEqual(Buffer.from('123'));
    expect(await client.store.map.get(name, { as: 'text' })).toBe('123');
    await rejected(client.store.map.set(name, 'x', { as: 'bytes' }), TypeError);
    await rejected(
      client.store.map.set(name, () => 1),
      TypeError,
    );
  });
});

describe('pubsub', () => {
  it('delivers topics and filters with their topic', async () => {
    const got: unknown[] = [];
    await client.pubsub(`${name}/a`).subscribe((data, meta) => got.push(['exact', data, meta.topic]));
    await client.pubsub(`${name}/+`).subscribe((data, meta) => got.push(['plus', data, meta.topic]));
    await client.pubsub(`${name}/#`).subscribe((data, meta) => got.push(['hash', data, meta.topic]));
    await client.pubsub(`${name}/a`).publish({ n: 1 });
    await client.pubsub(`${name}/b/c`).publish(Buffer.from([255]));
    await until('four messages', () => got.length === 4);
    expect(got).toContainEqual(['exact', { n: 1 }, `${name}/a`]);
    expect(got).toContainEqual(['plus', { n: 1 }, `${name}/a`]);
    expect(got).toContainEqual(['hash', { n: 1 }, `${name}/a`]);
    expect(got).toContainEqual(['hash', Buffer.from([255]), `${name}/b/c`]);
    for (const filter of ['a', '+', '#']) await client.pubsub(`${name}/${filter}`).unsubscribe();
    await client.pubsub(`${name}/a`).publish('nobody hears it');
    await client.ping();
    expect(got.length).toBe(4);
  });

  it('retains for late subscribers, and forgets', async () => {
    const topic = client.pubsub<string>(`${name}/state`);
    await topic.publish('kept', { retain: true });
    await client.pubsub(`${name}/short`).publish('gone', { retain: true, ttlMs: 20 });
    await new Promise((resolve) => setTimeout(resolve, 60));
    const got: string[] = [];
    await client.pubsub<string>(`${name}/#`).subscribe((data) => got.push(data));
    await until('the retained message', () => got.length > 0);
    expect(got).toStrictEqual(['kept']);
    expect(await client.pubsub(`${name}/#`).clearRetained()).toBe(1);
    await client.pubsub(`${name}/#`).unsubscribe();
  });

  it('refuses what cannot be', async () => {
    await rejected(client.pubsub(`${name}/+`).publish(1), ValidationError);
    await rejected(client.pubsub(name).publish(1, { ttlMs: 5 }), ValidationError);
    expect(() => client.pubsub('a/*/+')).toThrow(ValidationError);
    const topic = client.pubsub(name);
    await topic.subscribe(() => undefined);
    await rejected(
      topic.subscribe(() => undefined),
      NexoError,
      'SUBSCRIBED',
    );
    await topic.unsubscribe();
    await topic.unsubscribe();
  });

  it.each([
    ['a/#/b', "has '#' before its last level"],
    ['#/a', "has '#' before its last level"],
    ['a/b#', "has the level 'b#'"],
    ['a+/b', "has the level 'a+'"],
    ['a/++', "has the level '++'"],
    ['', 'is empty'],
    ['a\0b', 'holds a NUL character'],
    ['a/\ud800', 'half a surrogate pair'],
    [Array(129).fill('a').join('/'), 'has more than 128 levels'],
    ['a'.repeat(65_536), 'is longer than 65535 bytes'],
  ])('refuses the filter %j', async (filter, problem) => {
    const before = await client.command<unknown[]>(['PUBSUB', 'CHANNELS']);
    const subscribing = client.pubsub(filter).subscribe(() => {});
    await expect(subscribing).rejects.toThrow(problem);
    await rejected(subscribing, ValidationError);
    await rejected(client.pubsub(filter).messages().next(), ValidationError);
    expect(await client.command<unknown[]>(['PUBSUB', 'CHANNELS'])).toEqual(before);
  });

  it.each(['+', '#', 'a/+/b', '+/+', 'a/#', '/', 'a//b', Array(128).fill('a').join('/')])('takes %j', async (filter) => {
    await client.pubsub(filter).subscribe(() => {});
    await client.pubsub(filter).unsubscribe();
  });

  it('iterates', async () => {
    const stop = new AbortController();
    const got: unknown[] = [];
    const reading = (async () => {
      for await (const { data } of client.pubsub(`${name}/#`).messages({ signal: stop.signal })) {
        got.push(data);
        if (got.length === 3) stop.abort();
      }
    })();
    await until('the subscription', async () => {
      await client.pubsub(`${name}/x`).publish(got.length);
      return got.length >= 3;
    });
    await reading;
    expect(got.length).toBeGreaterThanOrEqual(3);
  });

  it('ends an iteration that falls behind with an error when told to', async () => {
    const iterator = client.pubsub(`${name}/#`).messages({ buffer: 2, overflow: 'error' });
    const first = iterator.next();
    await until('the first message', async () => {
      await client.pubsub(`${name}/x`).publish(1);
      return Promise.race([first.then(() => true), new Promise<boolean>((resolve) => setImmediate(() => resolve(false)))]);
    });
    for (let i = 0; i < 5; i++) await client.pubsub(`${name}/x`).publish(i);
    await client.ping();
    await rejected(
      (async () => {
        while (!(await iterator.next()).done);
      })(),
      NexoError,
      'OVERFLOW',
    );
  });
});

describe('queue', () => {
  it.each(values)('carries %s', async (_, value) => {
    const queue = client.queue(name);
    await queue.push(value);
    const got: unknown[] = [];
    const subscription = await queue.subscribe((data) => got.push(data));
    await until('the job', () => got.length === 1);
    same(got[0], value);
    await subscription.stop();
    expect((await queue.stats()).acked).toBe(1);
  });

  it('is made by a push, never by a subscription', async () => {
    const queue = client.queue(name);
    await rejected(
      queue.subscribe(() => undefined),
      NotFoundError,
      'NOQUEUE',
    );
    expect(await queue.exists()).toBe(false);
    await queue.push(1);
    expect(await queue.exists()).toBe(true);
    expect(await queue.delete()).toBe(true);
    expect(await queue.delete()).toBe(false);
  });

  it('is created with its configuration once', async () => {
    const queue = await client.queue(name).create({
      visibilityTimeoutMs: 1000,
      maxRetries: 1,
      backoff: 'none',
      maxLength: 2,
      dedupeWindowMs: 1000,
      dlqMaxAgeMs: 60_000,
    });
    await queue.create();
    await rejected(queue.create({ visibilityTimeoutMs: 5 }), ServerError, 'QEXISTS');
    await queue.push(1);
    await queue.push(2);
    await rejected(queue.push(3), ServerError, 'QFULL');
    await client.queue(`${name}-fixed`).create({ backoff: { type: 'fixed', delayMs: 10 } });
    await client.queue(`${name}-exp`).create({ backoff: { type: 'exponential', delayMs: 10, maxMs: 100 } });
  });

  it('gives out by priority, delay and id', async () => {
    const queue = client.queue<string>(name);
    await queue.push('low', { priority: 1 });
    await queue.push('high', { priority: 9 });
    const [first] = await queue.addMany(['x', 'y']);
    expect(first).toMatch(/^\d+$/);
    const began = Date.now();
    await queue.add('later', { delayMs: 400 });
    await queue.add('at', { runAt: new Date(began + 600) });
    const got: string[] = [];
    const came = new Map<string, number>();
    const note = (data: string) => {
      got.push(data);
      came.set(data, Date.now() - began);
    };
    const subscription = await queue.subscribe(note, { concurrency: 1, batchSize: 1 });
    await until('all jobs', () => got.length === 6);
    // A busy machine may have let the delays end before the first job was asked for.
    expect(got.filter((data) => data !== 'later' && data !== 'at')).toStrictEqual(['high', 'low', 'x', 'y']);
    expect(came.get('later')).toBeGreaterThanOrEqual(400);
    expect(came.get('at')).toBeGreaterThanOrEqual(600);
    await subscription.stop();
    await rejected(queue.push('x', { priority: 256 }), ValidationError);
    await rejected(queue.push('x', { delayMs: -1 }), ValidationError);
    await rejected(queue.add('x', { delayMs: 1, runAt: new Date() }), ValidationError);
    expect(await queue.addMany([])).toStrictEqual([]);
  });

  it('adds a job id once', async () => {
    const queue = client.queue(name);
    const id = await queue.add('a', { jobId: 'k' });
    expect(await queue.add('b', { jobId: 'k' })).toBe(id);
    await queue.push('c', { jobId: 'k' });
    expect((await queue.stats()).ready).toBe(1);
  });

  it('tries again, then gives up; the dead can be seen, moved, deleted', async () => {
    const queue = await client.queue<number>(name).create({ maxRetries: 2, backoff: 'none' });
    for (const n of [1, 2, 3]) await queue.push(n);
    const attempts: number[] = [];
    const subscription = await queue.subscribe((_, message) => {
      attempts.push(message.attempts);
      throw new Error('no good');
    });
    await until('three dead jobs', async () => (await queue.dlq.peek()).total === 3);
    expect(attempts.length).toBe(6);
    await subscription.stop();
    const { items } = await queue.dlq.peek(2, 1);
    expect(items.length).toBe(2);
    expect(items[0]).toMatchObject({ attempts: 2, failureReason: 'no good' });
    const all = (await queue.dlq.peek()).items;
    expect(await queue.dlq.delete(all[0]!.id)).toBe(true);
    expect(await queue.dlq.delete(all[0]!.id)).toBe(false);
    expect(await queue.dlq.moveToQueue(all[1]!.id)).toBe(true);
    expect(await queue.dlq.moveToQueue('999999')).toBe(false);
    expect(await queue.dlq.replayAll({ limit: 5 })).toBe(1);
    expect((await queue.stats()).ready).toBe(2);
    expect(await queue.dlq.replayAll()).toBe(0);
    expect(await queue.dlq.purge()).toBe(0);
  });

  it('counts maxRetries as deliveries in all', async () => {
    const deliveries: Record<string, number> = {};
    for (const maxRetries of [0, 1, 3]) {
      const queue = await client.queue(`${name}-${maxRetries}`).create({ maxRetries, backoff: 'none' });
      await queue.push('a');
      const subscription = await queue.subscribe(() => {
        deliveries[maxRetries] = (deliveries[maxRetries] ?? 0) + 1;
        throw new Error('no');
      });
      await until('the end', async () => (await queue.dlq.peek()).total === 1);
      await subscription.stop();
    }
    expect(deliveries).toEqual({ 0: 1, 1: 1, 3: 3 });
    for (const maxRetries of [-1, 1.5, Number.NaN]) {
      await rejected(client.queue(`${name}-bad`).create({ maxRetries }), ValidationError);
    }
    expect(await client.queue(`${name}-bad`).exists()).toBe(false);
  });

  it('lets the handler settle', async () => {
    const queue = await client.queue<string>(name).create({ backoff: 'none', visibilityTimeoutMs: 60_000 });
    for (const word of ['ack', 'nack', 'release', 'dead', 'extend']) await queue.push(word);
    const seen: string[] = [];
    const subscription = await queue.subscribe(async (word, message) => {
      seen.push(`${word} ${message.attempts}`);
      expect(message.enqueuedAt.getTime()).toBeGreaterThan(Date.now() - 60_000);
      const first = seen.filter((line) => line.startsWith(word)).length === 1;
      if (word === 'ack') expect(await message.ack()).toBe(true);
      if (word === 'nack' && first) expect(await message.nack('once more', { delayMs: 5 })).toBe(true);
      if (word === 'release' && first) expect(await message.release()).toBe(true);
      if (word === 'dead') expect(await message.toDlq('poison')).toBe(true);
      if (word === 'extend') expect(await message.extend(1000)).toBe(true);
    });
    await until('seven calls', () => seen.length === 7);
    await until('an empty queue', async () => {
      const { ready, inflight } = await queue.stats();
      return ready + inflight === 0;
    });
    expect(seen).toContain('nack 2');
    expect(seen.filter((line) => line === 'release 1').length).toBe(2);
    expect((await queue.dlq.peek()).items[0]).toMatchObject({ data: 'dead', failureReason: 'poison' });
    await subscription.stop();
  });

  it('keeps order with one handler and overlaps with ten', async () => {
    const queue = client.queue<number>(name);
    await queue.addMany(Array.from({ length: 30 }, (_, i) => i));
    const got: number[] = [];
    let running = 0;
    let most = 0;
    const handler = async (n: number): Promise<void> => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, n % 3));
      got.push(n);
      running--;
    };
    let subscription = await queue.subscribe(handler, { concurrency: 1 });
    await until('30 jobs', () => got.length === 30);
    expect(got).toStrictEqual(got.toSorted((a, b) => a - b));
    expect(most).toBe(1);
    await subscription.stop();
    await queue.addMany(Array.from({ length: 30 }, (_, i) => i));
    subscription = await queue.subscribe(handler, { concurrency: 10 });
    await until('60 jobs', () => got.length === 60);
    expect(most).toBe(10);
    await subscription.stop();
  });

  it('has one subscription, which can be made again after it stopped', async () => {
    const queue = await client.queue(name).create();
    const subscription = await queue.subscribe(() => undefined);
    await rejected(
      queue.subscribe(() => undefined),
      NexoError,
      'SUBSCRIBED',
    );
    const began = performance.now();
    await subscription.stop();
    expect(performance.now() - began).toBeLessThan(200);
    const signal = new AbortController();
    await queue.subscribe(() => undefined, { signal: signal.signal });
    signal.abort();
    await until('the end of the subscription', async () => {
      const again = await queue.subscribe(() => undefined).catch(() => undefined);
      await again?.stop();
      return again !== undefined;
    });
    await rejected(
      queue.subscribe(() => undefined, { concurrency: 0 }),
      ValidationError,
    );
  });

  it.each([
    ['a/#/b', "has '#' before its last level"],
    ['#/a', "has '#' before its last level"],
    ['a/b#', "has the level 'b#'"],
    ['a+/b', "has the level 'a+'"],
    ['a/++', "has the level '++'"],
    ['', 'is empty'],
    ['a\0b', 'holds a NUL character'],
    ['a/\ud800', 'half a surrogate pair'],
    [Array(129).fill('a').join('/'), 'has more than 128 levels'],
    ['a'.repeat(65_536), 'is longer than 65535 bytes'],
  ])('refuses the filter %j', async (filter, problem) => {
    const before = await client.command<unknown[]>(['PUBSUB', 'CHANNELS']);
    const subscribing = client.pubsub(filter).subscribe(() => {});
    await expect(subscribing).rejects.toThrow(problem);
    await rejected(subscribing, ValidationError);
    await rejected(client.pubsub(filter).messages().next(), ValidationError);
    expect(await client.command<unknown[]>(['PUBSUB', 'CHANNELS'])).toEqual(before);
  });

  it.each(['+', '#', 'a/+/b', '+/+', 'a/#', '/', 'a//b', Array(128).fill('a').join('/')])('takes %j', async (filter) => {
    await client.pubsub(filter).subscribe(() => {});
    await client.pubsub(filter).unsubscribe();
  });

  it('iterates', async () => {
    const queue = client.queue<number>(name);
    await queue.addMany([1, 2, 3]);
    const got: number[] = [];
    for await (const message of queue.messages()) {
      got.push((message as QueueMessage<number>).data);
      await message.ack();
      if (got.length === 3) break;
    }
    expect(got).toStrictEqual([1, 2, 3]);
    expect((await queue.stats()).acked).toBe(3);
  });

  it('pauses, peeks and purges', async () => {
    const queue = client.queue<string>(name);
    await queue.push('a', { priority: 3 });
    await queue.push('b', { delayMs: 60_000 });
    await queue.pause();
    expect((await queue.stats()).paused).toBe('out');
    const got: string[] = [];
    const subscription = await queue.subscribe((data) => got.push(data));
    expect((await queue.peek()).items[0]).toMatchObject({ data: 'a', priority: 3, state: 'ready', dueAt: null });
    expect((await queue.peek('delayed')).items[0]!.dueAt!.getTime()).toBeGreaterThan(Date.now());
    expect(got).toStrictEqual([]);
    await queue.resume();
    await until('the job', () => got.length === 1);
    await subscription.stop();
    expect(await queue.purge(['ready'])).toBe(0);
    expect(await queue.purge()).toBe(1);
    await rejected(client.queue(`${name}-none`).stats(), NotFoundError);
  });
});

describe('stream', () => {
  it.each(values)('carries %s', async (_, value) => {
    const stream = client.stream(name);
    await stream.publish(value);
    const got: unknown[] = [];
    const subscription = await stream.subscribe('g', (data) => got.push(data));
    await until('the entry', () => got.length === 1);
    same(got[0], value);
    await subscription.stop();
  });

  it('is made by publishing, never by a subscription', async () => {
    const stream = client.stream(name);
    await rejected(
      stream.subscribe('g', () => undefined),
      NotFoundError,
      'NOSTREAM',
    );
    expect(await stream.exists()).toBe(false);
    await stream.publish(1);
    expect(await stream.exists()).toBe(true);
    expect(await stream.delete()).toBe(true);
    expect(await stream.delete()).toBe(false);
  });

  it('appends once, in order, on conditions, and reads', async () => {
    const stream = await client.stream<number>(name).create({ retention: { maxAgeMs: 60_000, maxBytes: 1 << 20 } });
    expect(await stream.append(1, { expectSeq: 0 })).toBe(1n);
    await rejected(stream.append(1, { expectSeq: 0 }), ServerError, 'EXPECT');
    expect(await stream.append(2, { id: 'k' })).toBe(2n);
    expect(await stream.append(2, { id: 'k' })).toBe(2n);
    expect({ ...(await stream.appendMany([3, 4, 5])) }).toStrictEqual({ first: 3n, last: 5n });
    await rejected(stream.appendMany([]), ValidationError);
    expect((await stream.read()).map(({ data }) => data)).toStrictEqual([1, 2, 3, 4, 5]);
    const some = await stream.read({ from: { seq: 2n }, to: { seq: 4 }, limit: 2 });
    expect(some.map(({ seq, data }) => [seq, data])).toStrictEqual([
      [2n, 2],
      [3n, 3],
    ]);
    expect(await stream.read({ from: { time: new Date(Date.now() + 60_000) } })).toStrictEqual([]);
    expect(await stream.info()).toMatchObject({ first: 1n, next: 6n, entries: 5, maxAgeMs: 60_000, maxBytes: 1 << 20 });
    await stream.create();
    await rejected(stream.create({ retention: { maxBytes: 5 } }), ServerError, 'SEXISTS');
  });

  it('keeps groups apart, seeks, and tells how far they are', async () => {
    const stream = await client.stream<number>(name).create();
    await stream.appendMany([1, 2, 3]);
    const a: number[] = [];
    const b: number[] = [];
    const one = await stream.subscribe('a', (n) => a.push(n));
    const two = await stream.subscribe('b', (n) => b.push(n), { from: { seq: 3 } });
    await until('both groups', () => a.length === 3 && b.length === 1);
    await until('the acknowledgements', async () => (await stream.group('a')).pending === 0);
    expect(await stream.group('a')).toMatchObject({ next: 4n, lag: 0, parked: 0 });
    await stream.seek('a', 'beginning');
    await until('the replay', () => a.length === 6);
    expect(a).toStrictEqual([1, 2, 3, 1, 2, 3]);
    await stream.seek('b', 'end');
    await stream.publish(4);
    await until('the last one', () => b.length === 2 && a.length === 7);
    await one.stop();
    await two.stop();
    await rejected(stream.group('none'), NotFoundError);
  });

  it('lists its groups', async () => {
    const stream = client.stream<number>(name);
    await rejected(stream.groups(), NotFoundError, 'NOSTREAM');
    await stream.appendMany([1, 2, 3]);
    expect((await stream.groups()).map((group) => ({ ...group }))).toStrictEqual([]);
    for (const group of ['späte', 'b', 'a']) {
      await client.command(['XGCREATE', name, group]);
    }
    await client.command(['XCONSUME', name, 'b', 'somebody', 'COUNT', '2']);
    const idle = { next: 1n, lag: 3, pending: 0, parked: 0, skipped: 0, consumers: 0, waiters: 0, epoch: 1 };
    expect((await stream.groups()).map((group) => ({ ...group }))).toStrictEqual([
      { ...idle, name: 'a' },
      { ...idle, name: 'b', next: 3n, lag: 1, pending: 2, consumers: 1 },
      { ...idle, name: 'späte' },
    ]);
    await client.command(['XGDROP', name, 'b']);
    expect((await stream.groups()).map((group) => group.name)).toStrictEqual(['a', 'späte']);
  });

  it('answers what JSON.stringify bears', async () => {
    const stream = client.stream<{ a: number }>(name);
    const range = await stream.appendMany([{ a: 1 }, { a: 2 }]);
    expect(JSON.parse(JSON.stringify(range))).toStrictEqual({ first: 1, last: 2 });
    const [entry] = await stream.read();
    const text = { seq: 1, data: { a: 1 }, timestamp: entry?.timestamp.toISOString() };
    expect(JSON.parse(JSON.stringify({ entries: await stream.read({ limit: 1 }) }))).toStrictEqual({ entries: [text] });
    const got: string[] = [];
    const subscription = await stream.subscribe('g', (_, message) => got.push(JSON.stringify(message)));
    await until('both', () => got.length === 2);
    await subscription.stop();
    expect(JSON.parse(got[0] as string)).toStrictEqual({ ...text, attempts: 1 });
    for await (const one of stream.tail({ from: 'beginning' })) {
      expect(JSON.parse(JSON.stringify(one))).toStrictEqual(text);
      break;
    }
    expect(JSON.parse(JSON.stringify(await stream.info()))).toMatchObject({ first: 1, next: 3, entries: 2 });
    expect(JSON.parse(JSON.stringify(await stream.groups()))).toMatchObject([{ name: 'g', next: 3, lag: 0 }]);
    expect(JSON.parse(JSON.stringify(await stream.group('g')))).toMatchObject({ name: 'g', next: 3, waiters: 0 });
    await stream.seek('g', { seq: JSON.parse(got[1] as string).seq });
    expect((await stream.group('g')).next).toBe(2n);
  });

  it('delivers again what failed, and parks it at last', async () => {
    const stream = client.stream<string>(name);
    await stream.publish('bad');
    const attempts: number[] = [];
    const subscription = await stream.subscribe('g', (_, message) => {
      attempts.push(message.attempts);
      if (message.attempts < 2) throw new Error('not yet');
    });
    await until('the second delivery', () => attempts.length === 2);
    expect(attempts).toStrictEqual([1, 2]);
    await subscription.stop();
  });

  it('tails', async () => {
    const stream = client.stream<number>(name);
    await stream.appendMany([1, 2]);
    const stop = new AbortController();
    const got: StreamEntry<number>[] = [];
    const reading = (async () => {
      for await (const entry of stream.tail({ from: 'beginning', signal: stop.signal })) got.push(entry);
    })();
    await until('what was there', () => got.length === 2);
    await stream.publish(3);
    await until('what came', () => got.length === 3);
    expect(got[2]).toMatchObject({ seq: 3n, data: 3 });
    stop.abort();
    await reading;
  });
});

describe('the client', () => {
  const even = {
    '~standard': {
      version: 1 as const,
      vendor: 'test',
      validate: (value: unknown) =>
        typeof value === 'number' && value % 2 === 0 ? { value } : { issues: [{ message: 'not even' }] },
    },
  };

  it('checks schemas on both sides', async () => {
    const queue = client.queue<number>(name, { schema: even });
    await rejected(queue.push(1), ValidationError);
    await client.command(['QPUSH', name, '3']);
    await queue.push(2);
    const got: number[] = [];
    const subscription = await queue.subscribe((n) => got.push(n));
    await until('the good one', () => got.length === 1);
    await until('the bad one among the dead', async () => (await queue.dlq.peek()).total === 1);
    expect((await queue.dlq.peek()).items[0]!.failureReason).toContain('not even');
    await subscription.stop();
  });

  it('reads URLs, those of Redis clients among them, and refuses others', async () => {
    const named = await NexoClient.connect(`nexo://127.0.0.1:${server.port}?name=by-url`);
    expect(String(await named.connection.text(['CLIENT', 'GETNAME']))).toBe('by-url');
    await named.store.map.set(name, 0);
    for (const [path, database] of [
      ['', 0],
      ['/', 0],
      ['/0', 0],
      ['/3', 3],
    ] as const) {
      const other = await NexoClient.connect(`redis://127.0.0.1:${server.port}${path}`);
      expect(await other.store.map.get(name)).toBe(database === 0 ? 0 : null);
      expect(other.connection.options.database ?? 0).toBe(database);
      await other.store.map.set(`${name}-in`, database);
      await other.close();
    }
    await named.command(['SELECT', '3']);
    expect(await named.store.map.get(`${name}-in`)).toBe(3);
    await named.close();
    await rejected(NexoClient.connect('http://localhost'), ValidationError);
    await rejected(NexoClient.connect({ database: 1.5 }), ValidationError);
    await rejected(NexoClient.connect(`redis://127.0.0.1:${server.port}/999`), ServerError);
  });

  it('says what it could not connect to', async () => {
    for (const host of ['127.0.0.1', 'localhost', 'nowhere.invalid']) {
      const error = await rejected(NexoClient.connect({ host, port: 1 }), NotConnectedError, 'NOT_CONNECTED');
      expect(error.message).toMatch(new RegExp(`^cannot connect to ${host}:1: .*(ECONNREFUSED|ENOTFOUND|EAI_AGAIN)`));
      expect(error.cause).toBeInstanceOf(Error);
    }
  });

  it('pings, tells about the server, and passes commands on', async () => {
    expect(await client.ping()).toBeLessThan(5000);
    expect((await client.info()).redis_version).toBeDefined();
    expect(await client.command(['ECHO', Buffer.from([1, 255])])).toStrictEqual(Buffer.from([1, 255]));
    await rejected(client.command(['NOSUCH']), ServerError, 'ERR');
    expect(await client.redis.ping()).toBe('PONG');
  });

  it('gives up on calls that take too long or are aborted', async () => {
    const blocker = await server.connect();
    await blocker.queue(name).create();
    await rejected(blocker.command(['QPOP', name, 'BLOCK', '5000'], { timeoutMs: 30 }), RequestTimeoutError, 'REQUEST_TIMEOUT');
    blocker.disconnect();
    const aborted = new AbortController();
    const call = client.ping({ signal: aborted.signal });
    aborted.abort(new Error('enough'));
    await expect(call).rejects.toThrow('enough');
    await expect(client.ping({ signal: aborted.signal })).rejects.toThrow('enough');
  });

  it('rejects what is under way when it disconnects, and everything after', async () => {
    const own = await server.connect();
    await own.queue(name).create();
    const waiting = rejected(own.command(['QPOP', name, 'BLOCK', '5000']), ConnectionClosedError);
    await until('the wait', async () => Number((await client.queue(name).stats()).waiters) === 1);
    own.disconnect();
    await waiting;
    await rejected(own.ping(), NotConnectedError);
    expect(own.isConnected).toBe(false);
  });

  it('closes after what is under way, twice if need be', async () => {
    const own = await server.connect();
    const pushed = own.queue(name).push('last words');
    await own.close();
    await pushed;
    await own.close();
    expect((await client.queue(name).stats()).ready).toBe(1);
  });
});
