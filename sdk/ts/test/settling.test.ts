import { describe, expect, it } from 'vitest';
import { settle } from '../src/consumer.js';
import {
  type CallBegin,
  ConnectionClosedError,
  type NexoClient,
  type NexoTelemetry,
  NotConnectedError,
  RequestTimeoutError,
  ServerError,
} from '../src/index.js';
import { client, server, serverForEach, until } from './server.js';

// A handler's place is free before its acknowledgement is answered. What has to hold all the same: order, a bound on what is on
// its way, and that stop() and close() end when all of it is settled.

serverForEach({ reconnect: { minMs: 50, maxMs: 50 } });

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Holds up the answers of a client's main connection, which acknowledgements take, until it is released. */
async function heldUp(own: NexoClient): Promise<{ release: () => Promise<void> }> {
  await client.queue('gate').create();
  const waiting = own.command(['QPOP', 'gate', 'BLOCK', '60000'], { timeoutMs: 0 });
  await until('the wait', async () => (await client.queue('gate').stats()).waiters === 1);
  return {
    release: async () => {
      await client.queue('gate').push('go on');
      await waiting;
    },
  };
}

describe('while acknowledgements are not answered', () => {
  const batchSize = 10;

  it.each([1, 3])('handlers of a queue go on, up to batchSize jobs, %i at a time', async (concurrency) => {
    const own = await server.connect();
    const q = await client.queue<number>('q').create();
    const seen: number[] = [];
    let running = 0;
    let most = 0;
    const handler = async (n: number): Promise<void> => {
      most = Math.max(most, ++running);
      await Promise.resolve();
      seen.push(n);
      running--;
    };
    const subscription = await own.queue<number>('q').subscribe(handler, { concurrency, batchSize });
    const gate = await heldUp(own);
    await q.addMany(range(50));
    await until('the bound', () => seen.length === batchSize);
    await until('more to be fetched', async () => (await q.stats()).inflight >= 1.5 * batchSize);
    await client.ping();
    expect(seen).toEqual(range(batchSize));
    expect((await q.stats()).inflight).toBeLessThanOrEqual(2 * batchSize);
    expect(running).toBe(0);
    await gate.release();
    await until('all', () => seen.length === 50);
    await subscription.stop();
    expect(await q.stats()).toMatchObject({ ready: 0, inflight: 0, acked: 50 });
    if (concurrency === 1) expect(seen).toEqual(range(50));
    expect(most).toBeLessThanOrEqual(concurrency);
    await own.close();
  });

  it('the handler of a stream goes on in order, up to batchSize entries', async () => {
    const own = await server.connect();
    const s = await client.stream<number>('s').create();
    const seen: number[] = [];
    const subscription = await own.stream<number>('s').subscribe('g', (n) => seen.push(n), { batchSize });
    const gate = await heldUp(own);
    await s.appendMany(range(50));
    await until('the bound', () => seen.length === batchSize);
    await until('more to be fetched', async () => (await s.group('g')).pending >= 1.5 * batchSize);
    await client.ping();
    expect((await s.group('g')).pending).toBeLessThanOrEqual(2 * batchSize);
    expect(seen).toEqual(range(batchSize));
    await gate.release();
    await until('all', () => seen.length === 50);
    await subscription.stop();
    expect(seen).toEqual(range(50));
    expect(await s.group('g')).toMatchObject({ pending: 0, lag: 0 });
    await own.close();
  });

  it('entries are not given to another member when the connection that brought them breaks', async () => {
    const own = await server.connect({ reconnect: { minMs: 20, maxMs: 20 } });
    const s = await client.stream<number>('s').create();
    const [mine, theirs]: number[][] = [[], []];
    const subscription = await own.stream<number>('s').subscribe('g', (n) => mine?.push(n), { batchSize });
    const gate = await heldUp(own);
    await s.appendMany(range(batchSize));
    await until('all to be handled', () => mine?.length === batchSize);
    const others = await s.subscribe('g', (n) => theirs?.push(n), { waitMs: 50 });
    (subscription as unknown as { socket: { destroy(): void } }).socket.destroy();
    await until('the loss', async () => (await s.group('g')).waiters === 1);
    await new Promise((resolve) => setTimeout(resolve, 300)); // it has a connection again
    expect([theirs, (await s.group('g')).pending]).toEqual([[], batchSize]);
    await gate.release();
    await until('the acknowledgements', async () => (await s.group('g')).pending === 0);
    await Promise.all([subscription.stop(), others.stop()]);
    expect([mine, theirs]).toEqual([range(batchSize), []]);
    await own.close();
  });

  it('stop() waits for them also when the connection that brought the entries is lost', async () => {
    const own = await server.connect({ reconnect: { minMs: 60_000 } });
    const s = await client.stream<number>('s').create();
    let handled = 0;
    const subscription = await own.stream('s').subscribe('g', () => void handled++);
    const gate = await heldUp(own);
    await s.appendMany(range(5));
    await until('all to be handled', () => handled === 5);
    (subscription as unknown as { socket: { destroy(): void } }).socket.destroy();
    let over = false;
    const stopping = subscription.stop().then(() => {
      over = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([over, (await s.group('g')).pending]).toEqual([false, 5]);
    await gate.release();
    await stopping;
    expect(await s.group('g')).toMatchObject({ pending: 0, lag: 0 });
    await own.close();
  });

  it.each(['stop', 'close'] as const)('%s() waits for them', async (how) => {
    const own = await server.connect();
    const q = await client.queue<number>('q').create();
    const s = await client.stream<number>('s').create();
    let handled = 0;
    const jobs = await own.queue('q').subscribe(() => void handled++);
    const unawaited = await client.queue<number>('unawaited').create();
    const byHand = await own.queue('unawaited').subscribe((_, message) => {
      handled++;
      void message.ack();
    });
    const entries = await own.stream('s').subscribe('g', () => void handled++);
    const gate = await heldUp(own);
    await q.addMany(range(5));
    await unawaited.addMany(range(5));
    await s.appendMany(range(5));
    await until('all to be handled', () => handled === 15);
    let over = false;
    const ending = (how === 'stop' ? Promise.all([jobs.stop(), byHand.stop(), entries.stop()]) : own.close()).then(() => {
      over = true;
    });
    await client.ping(); // time for what would not wait
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(over).toBe(false);
    expect(await q.stats()).toMatchObject({ inflight: 5, acked: 0 });
    await gate.release();
    await ending;
    for (const queue of [q, unawaited]) expect(await queue.stats()).toMatchObject({ ready: 0, inflight: 0, acked: 5 });
    expect(await s.group('g')).toMatchObject({ pending: 0, lag: 0 });
    await own.close();
  });
});

describe.each(['stop', 'close'] as const)('%s() when the server is killed', (how) => {
  /** Notes down what was acknowledged: the server has said so. */
  function recorder(): { acked: Set<number>; ackedEntries: Set<number>; telemetry: NexoTelemetry } {
    const acked = new Set<number>();
    const ackedEntries = new Set<number>();
    const call = ({ command, args }: CallBegin) => {
      if (command !== 'QACK' && command !== 'XACK') return undefined;
      const words = args.map(String);
      return ({ reply }: { reply?: unknown }) => {
        if (command === 'QACK' && Array.isArray(reply)) {
          for (const [i, count] of reply.entries()) {
            if (count === 1) acked.add(Number(words[2 + i]?.split('-')[0]));
          }
        }
        if (command === 'XACK' && typeof reply === 'number') {
          for (const offset of words.slice(3, words.indexOf('EPOCH'))) ackedEntries.add(Number(offset));
        }
      };
    };
    return { acked, ackedEntries, telemetry: { call } };
  }

  it('loses nothing, and repeats nothing that was acknowledged', async () => {
    const count = 2000;
    await client.queue<number>('q').create();
    await client.stream<number>('s').create();
    for (let i = 0; i < count; i += 1000) {
      await client.queue<number>('q').addMany(range(1000));
      await client.stream<number>('s').appendMany(range(1000));
    }
    const { acked, ackedEntries, telemetry } = recorder();
    const again: string[] = [];
    const jobs = new Set<number>();
    const entries = new Set<number>();
    const isDone = async (): Promise<boolean> => {
      const [{ ready, inflight }, { pending, lag }] = [await client.queue('q').stats(), await client.stream('s').group('g')];
      return ready + inflight + pending + lag === 0;
    };
    await client.command(['XGCREATE', 's', 'g', 'START', 'first', 'ACKWAIT', '2s']);
    for (let round = 0; !(await isDone()); round++) {
      const own = await server.connect({ telemetry, reconnect: { minMs: 50, maxMs: 50 } });
      let handled = 0;
      const a = await own.queue<number>('q').subscribe((_, message) => {
        if (acked.has(Number(message.id))) again.push(`job ${message.id}`);
        jobs.add(Number(message.id));
        handled++;
      });
      const b = await own.stream<number>('s').subscribe('g', (_, message) => {
        if (ackedEntries.has(Number(message.seq))) again.push(`entry ${message.seq}`);
        entries.add(Number(message.seq));
        handled++;
      });
      await until('some to be handled', async () => handled > 150 || (await isDone()));
      const ending = how === 'stop' ? Promise.all([a.stop(), b.stop()]) : own.close();
      if (round < 6) {
        await new Promise((resolve) => setTimeout(resolve, round % 3));
        await server.kill();
        await server.start();
        await until('the connection', () => client.isConnected);
      }
      await ending;
      await own.close();
    }
    expect(again).toEqual([]);
    expect(acked.size + ackedEntries.size).toBeGreaterThan(count);
    expect([jobs.size, entries.size]).toEqual([count, count]);
    expect(await client.queue('q').stats()).toMatchObject({ ready: 0, delayed: 0, inflight: 0, dead: 0 });
    expect(await client.stream('s').group('g')).toMatchObject({ pending: 0, lag: 0, parked: 0 });
  }, 60_000);
});

it('handles an entry again after a seek although the same one is being handled', async () => {
  const s = await client.stream<number>('s').create();
  await s.appendMany([1, 2, 3]);
  const got: number[] = [];
  let finish: () => void = () => {};
  const subscription = await s.subscribe(
    'g',
    async (n) => {
      got.push(n);
      if (got.length === 1) {
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
      }
    },
    { waitMs: 50 },
  );
  await until('the first', () => got.length === 1);
  await s.seek('g', 'beginning');
  await until('the second delivery', async () => (await s.group('g')).pending === 3);
  finish();
  await until('all of it', () => got.length >= 6, 5000); // long before the time to acknowledge ends
  await until('the acknowledgements', async () => (await s.group('g')).pending === 0);
  await subscription.stop();
  expect(got.filter((n) => n === 1)).toHaveLength(2);
});

it('sends again what settles a message when the server is there and not ready', async () => {
  const replies = [new ServerError('LOADING', 'LOADING'), new ConnectionClosedError(), new NotConnectedError(), 'done'];
  const run = async (): Promise<unknown> => {
    const reply = replies.shift();
    if (reply instanceof Error) throw reply;
    return reply;
  };
  expect(await settle(client.connection, run)).toBe('done');
  for (const error of [new ServerError('DISKFULL', 'DISKFULL'), new RequestTimeoutError('QACK', 1)]) {
    replies.push(error, 'not asked for');
    await expect(settle(client.connection, run)).rejects.toBe(error);
    replies.length = 0;
  }
});
