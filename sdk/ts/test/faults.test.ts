import { afterEach, beforeEach, expect, it } from 'vitest';
import { ConnectionClosedError, type NexoClient, NexoError, NotConnectedError, RequestTimeoutError } from '../src/index.js';
import { TestServer, until } from './server.js';

let server: TestServer;
let client: NexoClient;
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** The connections that the server sees, by what they do. */
async function connections(c: NexoClient): Promise<string[]> {
  const list = String(await c.connection.text(['CLIENT', 'LIST']));
  return list.split('\n').filter((line) => line !== '');
}

/** Pushes numbers until it is stopped; what was not acknowledged is told apart. */
function producer(push: (n: number) => Promise<void>): { acknowledged: number[]; errors: Error[]; stop(): Promise<void> } {
  const acknowledged: number[] = [];
  const errors: Error[] = [];
  let stopped = false;
  let next = 0;
  const worker = async (): Promise<void> => {
    while (!stopped) {
      const n = next++;
      try {
        await push(n);
        acknowledged.push(n);
        await pause(1);
      } catch (error) {
        errors.push(error as Error);
        await pause(20);
      }
    }
  };
  const workers = Array.from({ length: 8 }, worker);
  return {
    acknowledged,
    errors,
    stop: async () => {
      stopped = true;
      await Promise.all(workers);
    },
  };
}

beforeEach(async () => {
  server = await TestServer.start();
  client = await server.connect({ reconnect: { minMs: 150, maxMs: 300 } });
});
afterEach(async () => {
  client.disconnect();
  await server.stop();
});

it('resumes after kill -9 under load: nothing acknowledged is lost or handled again', async () => {
  const q = await client.queue<number>('jobs').create({ visibilityTimeoutMs: 30_000 });
  const s = await client.stream<number>('log').create();
  const topic = client.pubsub<string>('alive/+');
  const heard: string[] = [];
  await topic.subscribe((text) => heard.push(text));
  const jobs: number[] = [];
  const acked = new Set<number>();
  const afterAck: number[] = [];
  const entries: number[] = [];
  const jobHandler = await q.subscribe(
    async (n, message) => {
      if (acked.has(n)) afterAck.push(n);
      jobs.push(n);
      if (await message.ack()) acked.add(n);
    },
    { concurrency: 10, waitMs: 1000 },
  );
  const entryHandler = await s.subscribe('g', (n) => entries.push(n), { concurrency: 5, waitMs: 1000 });
  const pushing = producer((n) => q.push(n));
  const publishing = producer((n) => s.publish(n));
  let reconnects = 0;
  client.on('reconnect', () => reconnects++);
  for (let round = 1; round <= 2; round++) {
    const before = pushing.acknowledged.length;
    await until('load', () => pushing.acknowledged.length > before + 200);
    await server.kill();
    await until('the loss to be noticed', () => !client.isConnected);
    await pause(200);
    await server.start();
    await until('the connection to be back', () => client.isConnected && reconnects === round);
  }
  await Promise.all([pushing.stop(), publishing.stop()]);
  const handled = (): Set<number> => new Set(jobs);
  await until('all jobs', () => pushing.acknowledged.every((n) => handled().has(n)), 15_000);
  // What was taken and not acknowledged when the server died comes again at once: not after its lease.
  await until(
    'no job to be left',
    async () =>
      Object.values(await q.stats())
        .slice(0, 3)
        .every((count) => count === 0),
    15_000,
  );
  const seen = (): Set<number> => new Set(entries);
  await until('all entries', () => publishing.acknowledged.every((n) => seen().has(n)), 25_000);
  expect(afterAck).toEqual([]);

  // Calls made while the server was away failed at once, and said whether they may have been done.
  const failures = [...pushing.errors, ...publishing.errors];
  expect(failures.length).toBeGreaterThan(0);
  for (const error of failures) {
    expect(error instanceof ConnectionClosedError || error instanceof NotConnectedError, String(error)).toBe(true);
  }

  // The subscription is there, once.
  const other = await server.connect();
  await until('the subscription', async () => (await other.command<number>(['PUBLISH', 'alive/x', 'hello'])) === 1);
  await until('the message', () => heard.length >= 1);
  expect(heard).toEqual(['hello']);
  await until('one wait', async () => (await q.stats()).waiters === 1);
  await other.close();
  await Promise.all([jobHandler.stop(), entryHandler.stop()]);
}, 90_000);

it('rejects calls predictably while the server is away', async () => {
  await client.queue('idle').create();
  const waiting = client.command(['QPOP', 'idle', 'BLOCK', '10000']);
  const rejected = expect(waiting).rejects.toThrow(ConnectionClosedError);
  const other = await server.connect();
  await until('the wait', async () => (await other.queue('idle').stats()).waiters === 1);
  other.disconnect();
  await server.kill();
  await rejected;
  await expect(client.store.map.get('k')).rejects.toThrow(NotConnectedError);
  await expect(client.queue('idle').subscribe(() => {})).rejects.toThrow(NexoError);
  await server.start();
  await until('the connection', () => client.isConnected);
  expect(await client.store.map.get('k')).toBe(null);
});

it('waits for the server when asked to', async () => {
  const patient = await server.connect({ offline: 'queue', reconnect: { minMs: 100, maxMs: 100 } });
  await server.kill();
  await until('the loss', () => !patient.isConnected);
  await expect(patient.store.map.set('k', 1, { timeoutMs: 50 })).rejects.toThrow(RequestTimeoutError);
  const call = patient.store.map.set('k', 2);
  await server.start();
  expect(await call).toBe(true);
  expect(await patient.store.map.get('k')).toBe(2);
  await patient.close();
});

it('gives up after maxAttempts', async () => {
  const errors: Error[] = [];
  const finite = await server.connect({ reconnect: { minMs: 10, maxMs: 10, maxAttempts: 2 } });
  finite.on('error', (error) => errors.push(error));
  await server.kill();
  await until('the end of the attempts', () => errors.length > 0);
  expect(errors[0]).toBeInstanceOf(NotConnectedError);
  await expect(finite.ping()).rejects.toThrow(NotConnectedError);
});

it('gives a job again when the socket is destroyed while its handler runs', async () => {
  const q = await client.queue<string>('jobs').create({ visibilityTimeoutMs: 60_000 });
  await q.push('a');
  const runs: { attempts: number; aborted: () => boolean }[] = [];
  let finish: () => void = () => {};
  const subscription = await q.subscribe(
    async (_, message) => {
      runs.push({ attempts: message.attempts, aborted: () => message.signal.aborted });
      if (runs.length === 1) {
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
      }
    },
    { waitMs: 5000 },
  );
  await until('the handler', () => runs.length === 1);
  const began = Date.now();
  (subscription as unknown as { socket: { destroy(): void } }).socket.destroy();
  await until('the job to come again', () => runs.length === 2);
  expect(Date.now() - began).toBeLessThan(5000); // long before its lease ends
  expect(runs[0]?.aborted()).toBe(true);
  expect(runs[1]?.aborted()).toBe(false);
  expect(runs[1]?.attempts).toBe(1); // a lost connection is no failed attempt
  await until('the acknowledgement', async () => (await q.stats()).inflight === 0);
  finish(); // the late acknowledgement of the first delivery counts nothing
  await subscription.stop();
  expect(await q.stats()).toMatchObject({ ready: 0, inflight: 0, dead: 0, acked: 1 });
});

it('survives a destroyed main socket while a handler runs', async () => {
  const q = client.queue<string>('jobs');
  const heard: string[] = [];
  await client.pubsub<string>('t').subscribe((text) => heard.push(text));
  await q.push('a');
  let runs = 0;
  const subscription = await q.subscribe(async () => {
    runs++;
    client.connection.socket.destroy();
    await until('the connection', () => client.isConnected);
  });
  await until('the acknowledgement', async () => client.isConnected && (await q.stats().catch(() => undefined))?.acked === 1);
  expect(runs).toBe(1);
  await client.pubsub<string>('t').publish('once');
  await until('the message', () => heard.length > 0);
  expect(heard).toEqual(['once']);
  await subscription.stop();
});

it('stop() in a long poll returns at once and steals nothing', async () => {
  const q = await client.queue<number>('jobs').create();
  const s = await client.stream<number>('log').create();
  for (let round = 0; round < 20; round++) {
    const got: number[] = [];
    const [a, b] = [await q.subscribe((n) => got.push(n)), await s.subscribe('g', (n) => got.push(n))];
    await until('the wait', async () => (await q.stats()).waiters === 1);
    const pushed = round % 2 === 0 ? q.push(round) : Promise.resolve(); // also while it stops
    const began = performance.now();
    await Promise.all([a.stop(), b.stop()]);
    expect(performance.now() - began).toBeLessThan(200);
    await pushed;
    if (round % 2 !== 0) await q.push(round);
    const { ready, inflight, acked } = await q.stats();
    expect({ ready, inflight }).toEqual({ ready: 1 - got.length, inflight: 0 });
    expect(acked).toBeLessThanOrEqual(round + 1);
    await q.purge();
  }
  expect((await connections(client)).filter((line) => /queue:jobs|stream:log/.test(line))).toEqual([]);
});

it('has one loop after a double crash', async () => {
  const q = await client.queue<number>('jobs').create();
  const got: number[] = [];
  const subscription = await q.subscribe((n) => got.push(n), { waitMs: 20_000 });
  const socket = (subscription as unknown as { socket: { destroy(): void } }).socket;
  for (let crash = 0; crash < 3; crash++) {
    await until('the wait', async () => (await q.stats()).waiters === 1);
    socket.destroy();
    socket.destroy();
    client.connection.socket.destroy();
    await until('the connection', () => client.isConnected);
  }
  await server.kill();
  await until('the loss', () => !client.isConnected);
  await server.start();
  await until('the wait', async () => client.isConnected && (await q.stats().catch(() => undefined))?.waiters === 1);
  await pause(500); // a second loop would have had the time to begin
  expect((await q.stats()).waiters).toBe(1);
  expect((await connections(client)).filter((line) => line.includes('queue:jobs'))).toHaveLength(1);
  const jobs = Array.from({ length: 50 }, (_, i) => i);
  await q.addMany(jobs);
  await until('all', () => got.length >= 50);
  expect(got.sort((x, y) => x - y)).toEqual(jobs);
  await subscription.stop();
  expect((await q.stats()).waiters).toBe(0);
});

it('handles a batch of 50 with handlers of 4 s, 5 at a time, under a lease of 30 s, each once', async () => {
  const q = await client.queue<number>('slow').create({ visibilityTimeoutMs: 30_000 });
  const jobs = Array.from({ length: 50 }, (_, i) => i);
  await q.addMany(jobs);
  const got: number[] = [];
  let done = 0;
  const subscription = await q.subscribe(
    async (n) => {
      got.push(n);
      await pause(4000);
      done++;
    },
    { batchSize: 50, concurrency: 5 },
  );
  // Somebody else waits for what the leases would let go.
  const other = await server.connect();
  const stolen: number[] = [];
  await other.queue<number>('slow').subscribe((n) => stolen.push(n));
  await until('all 50', () => done === 50, 60_000);
  expect(got.sort((x, y) => x - y)).toEqual(jobs);
  expect(stolen).toEqual([]);
  await subscription.stop();
  expect(await q.stats()).toMatchObject({ ready: 0, inflight: 0, acked: 50 });
  await other.close();
}, 90_000);

it('keeps a short lease as long as the handler runs', async () => {
  const q = await client.queue<string>('lease').create({ visibilityTimeoutMs: 1000 });
  await q.push('a');
  let runs = 0;
  let done = false;
  const subscription = await q.subscribe(async () => {
    runs++;
    await pause(3500);
    done = true;
  });
  await until('the handler', () => done);
  await subscription.stop();
  expect(runs).toBe(1);
  expect(await q.stats()).toMatchObject({ ready: 0, inflight: 0, acked: 1 });
});
