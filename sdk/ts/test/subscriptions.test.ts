import { afterAll, beforeAll, expect, it } from 'vitest';
import { type NexoClient, ServerError } from '../src/index.js';
import { TestServer, until } from './server.js';

// How subscriptions and the client begin and end, and what they tell on the way.

let server: TestServer;
let client: NexoClient;
let number = 0;
const name = (): string => `n${++number}`;

beforeAll(async () => {
  server = await TestServer.start();
  client = await server.connect();
});
afterAll(async () => {
  await client.close();
  await server.stop();
});

it('ends with its signal', async () => {
  const q = await client.queue(name()).create();
  const ending = new AbortController();
  const subscription = await q.subscribe(() => {}, { signal: ending.signal });
  await until('the wait for jobs', async () => (await q.stats()).waiters === 1);
  ending.abort();
  await until('the wait to end', async () => (await q.stats()).waiters === 0);
  await subscription.stop();
  await expect(q.subscribe(() => {}, { signal: AbortSignal.abort(new Error('mine')) })).rejects.toThrow('mine');
  await (await q.subscribe(() => {})).stop();
});

it('refuses a payload that is too big, and stays usable', async () => {
  const q = client.queue(name());
  await expect(q.push(Buffer.alloc(11 << 20))).rejects.toThrow(ServerError);
  await expect(q.push(Buffer.alloc(11 << 20))).rejects.toMatchObject({ code: 'TOOBIG' });
  await q.push('small');
  expect((await q.stats()).ready).toBe(1);
});

it('shares a group between clients', async () => {
  const other = await server.connect();
  const s = client.stream<number>(name());
  await s.create();
  const got: number[] = [];
  const handler = async (n: number): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, 2));
    got.push(n);
  };
  const a = await s.subscribe('g', handler, { batchSize: 5 });
  const b = await other.stream<number>(s.name).subscribe('g', handler, { batchSize: 5 });
  await s.appendMany(Array.from({ length: 100 }, (_, i) => i));
  await until('all', () => got.length >= 100);
  await Promise.all([a.stop(), b.stop()]);
  expect(got.sort((x, y) => x - y)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  await other.close();
});

it('goes on after a callback that throws', async () => {
  const log: string[] = [];
  const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: (line: string) => log.push(line) };
  const own = await server.connect({ logger, logLevel: 'error' });
  const got: unknown[] = [];
  await own.pubsub('throws').subscribe((data) => {
    got.push(data);
    throw new Error('of the callback');
  });
  await client.pubsub('throws').publish(1);
  await client.pubsub('throws').publish(2);
  await until('both', () => got.length === 2 && log.length === 2);
  expect(log[0]).toContain('of the callback');
  await own.close();
});

it('keeps the order of one publisher', async () => {
  const got: number[] = [];
  await client.pubsub<number>('order').subscribe((n) => got.push(n));
  await Promise.all(Array.from({ length: 500 }, (_, i) => client.pubsub<number>('order').publish(i)));
  await until('all messages', () => got.length === 500);
  expect(got).toEqual(Array.from({ length: 500 }, (_, i) => i));
});

it('close lets handlers finish and their jobs be acknowledged', async () => {
  const own = await server.connect();
  const q = own.queue<number>('drain');
  await q.addMany([1, 2, 3, 4, 5, 6]);
  const done: number[] = [];
  let begun = 0;
  await q.subscribe(
    async (n) => {
      begun++;
      await new Promise((resolve) => setTimeout(resolve, 100));
      done.push(n);
    },
    { concurrency: 2 },
  );
  await until('a handler', () => begun === 2);
  await own.close();
  expect(done).toHaveLength(2);
  await using other = await server.connect();
  expect(await other.queue('drain').stats()).toMatchObject({ ready: 4, inflight: 0 });
});

it('close does not wait longer than it may', async () => {
  const own = await server.connect();
  await own.queue('stuck').push(1);
  let begun = false;
  await own.queue('stuck').subscribe(() => {
    begun = true;
    return new Promise(() => {});
  });
  await until('the handler', () => begun);
  const began = Date.now();
  await own.close({ timeoutMs: 100 });
  expect(Date.now() - began).toBeLessThan(1500);
  await using other = await server.connect();
  await until('the job to be given back', async () => (await other.queue('stuck').stats()).ready === 1);
});

it('sends everything of one turn together', async () => {
  await using own = await server.connect();
  const values = await Promise.all(Array.from({ length: 2000 }, (_, i) => own.store.map.incr('pipelined').then((n) => n - i)));
  expect(new Set(values)).toEqual(new Set([1]));
});
