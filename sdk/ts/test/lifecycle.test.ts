import { describe, expect, it } from 'vitest';
import {
  type CallBegin,
  type NexoClient,
  NexoError,
  NotConnectedError,
  type QueueMessage,
  RequestTimeoutError,
} from '../src/index.js';
import { client, server, serverForEach, until } from './server.js';

// Beginnings and ends that meet each other or a loss of the connection: nothing is left over, nothing comes twice.

serverForEach({ reconnect: { minMs: 50, maxMs: 50 } });

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** How many clients the server sees, but for the one that asks. */
async function others(asking: NexoClient): Promise<number> {
  return (
    String(await asking.connection.text(['CLIENT', 'LIST']))
      .trim()
      .split('\n').length - 1
  );
}

function socketOf(subscription: unknown): { destroy(): void } {
  return (subscription as { socket: { destroy(): void } }).socket;
}

describe('a subscription that is still connecting', () => {
  it.each([
    ['disconnect', (own: NexoClient) => own.disconnect()],
    ['close', (own: NexoClient) => own.close()],
  ])('ends with %s()', async (_, end) => {
    const own = await server.connect();
    await own.queue('q').create();
    await own.stream('s').create();
    for (const wait of [0, 1, 2, 3, 5, 8]) {
      const another = await server.connect();
      const subscribing = Promise.allSettled([
        another.queue('q').subscribe(() => {}),
        another.stream('s').subscribe('g', () => {}),
        another.stream('s').tail().next(),
      ]);
      await pause(wait);
      await end(another);
      await subscribing;
    }
    await until('all connections to be closed', async () => (await others(own)) === 1);
    await own.close();
  });

  it('ends with its signal', async () => {
    const q = await client.queue('q').create();
    for (const wait of [0, 1, 2, 3, 5, 8]) {
      const ending = new AbortController();
      const subscribing = q.subscribe(() => {}, { signal: ending.signal }).catch((error: Error) => error);
      await pause(wait);
      ending.abort(new Error('enough'));
      const result = await subscribing;
      if (result instanceof Error) expect(result.message).toBe('enough');
      else await result.stop();
      await until('its connection to be closed', async () => (await others(client)) === 0);
    }
    await (await q.subscribe(() => {})).stop(); // there is room for another
  });
});

it('is one subscription of a queue, whichever object it is made through', async () => {
  await client.queue('q').create();
  const jobs = await client.queue('q').subscribe(() => {});
  await expect(client.queue('q', { as: 'text' }).subscribe(() => {})).rejects.toMatchObject({ code: 'SUBSCRIBED' });
  await jobs.stop();
  await (await client.queue('q').subscribe(() => {})).stop();
});

it('may subscribe twice to a stream as the same group, which shares the entries', async () => {
  const s = await client.stream<number>('s').create();
  const got: string[] = [];
  const reader = (name: string) => async (n: number) => {
    await pause(2);
    got.push(`${name}${n}`);
  };
  const a = await s.subscribe('g', reader('a'), { batchSize: 3 });
  const b = await client.stream<number>('s', { as: 'json' }).subscribe('g', reader('b'), { batchSize: 3 });
  await s.appendMany(Array.from({ length: 60 }, (_, i) => i));
  await until('all', () => got.length >= 60);
  await a.stop();
  await s.publish(60);
  await until('one more', () => got.length >= 61);
  expect(got.at(-1)).toBe('b60'); // the one that is left goes on
  await b.stop();
  expect(got.map((one) => Number(one.slice(1))).sort((x, y) => x - y)).toEqual(Array.from({ length: 61 }, (_, i) => i));
  expect(new Set(got.map((one) => one[0]))).toEqual(new Set(['a', 'b']));
  expect(await s.group('g')).toMatchObject({ pending: 0, lag: 0, consumers: 0 });
});

it('outlives an onError that throws', async () => {
  const q = await client.queue<number>('q').create();
  let errors = 0;
  const got: number[] = [];
  const onError = () => {
    errors++;
    throw new Error('of onError');
  };
  const subscription = await q.subscribe((n) => got.push(n), { onError, waitMs: 50 });
  await q.delete();
  await until('errors', () => errors > 0);
  await q.push(1);
  await until('the job', () => got.length === 1);
  await subscription.stop();
});

it('stops at once while it waits before the next try', async () => {
  const q = await client.queue('q').create();
  let errors = 0;
  const subscription = await q.subscribe(() => {}, { onError: () => errors++, waitMs: 20 });
  await q.delete();
  await until('some tries', () => errors >= 7); // by now it waits for 3.2 s
  const began = performance.now();
  await subscription.stop();
  expect(performance.now() - began).toBeLessThan(1600);
});

it('gives back what a late answer brings after the server hung', async () => {
  const own = await server.connect({ requestTimeoutMs: 1000, reconnect: { minMs: 50, maxMs: 50 } });
  const q = await own.queue<number>('q').create({ visibilityTimeoutMs: 60_000 });
  const errors: Error[] = [];
  const got: number[] = [];
  const subscription = await q.subscribe((n) => got.push(n), { waitMs: 50, onError: (error) => errors.push(error) });
  server.hang();
  const late = client.queue<number>('q').push(1); // arrives while the request that is given up waits in the server
  await until('the time limit', () => errors.some((error) => error instanceof RequestTimeoutError));
  server.goOn();
  await late;
  await until('the job', () => got.length === 1, 5000); // long before a lease ends
  await subscription.stop();
  await own.close();
});

describe('messages()', () => {
  it.each([
    ['close', (own: NexoClient) => own.close()],
    ['disconnect', (own: NexoClient) => own.disconnect()],
  ])('of a queue end with %s()', async (_, end) => {
    const own = await server.connect();
    const q = own.queue<number>('q');
    await q.addMany([1, 2, 3, 4, 5]);
    const got: number[] = [];
    const began = performance.now();
    for await (const message of q.messages()) {
      await message.ack();
      got.push(message.data);
      if (got.length === 2) void end(own);
    }
    expect(performance.now() - began).toBeLessThan(5000);
    expect(got).toEqual([1, 2]);
    await until('the rest to be given back', async () => {
      const { ready, inflight, acked } = await client.queue('q').stats();
      return ready === 3 && inflight === 0 && acked === 2;
    });
  });

  it('of a queue end while they wait', async () => {
    const own = await server.connect();
    const q = await own.queue('q').create();
    const reading = (async () => {
      for await (const message of q.messages()) await message.ack();
    })();
    await until('the wait', async () => (await client.queue('q').stats()).waiters === 1);
    await own.close();
    await reading;
  });

  it('of a queue give back what the loop left without settling', async () => {
    const q = client.queue<number>('q');
    await q.addMany([1, 2, 3]);
    const kept: QueueMessage<number>[] = [];
    const reading = async (): Promise<void> => {
      for await (const message of q.messages()) {
        kept.push(message);
        if (message.data === 1) continue;
        throw new Error('of the loop');
      }
    };
    await expect(reading()).rejects.toThrow('of the loop');
    expect(kept.map(({ data }) => data)).toEqual([1, 2]);
    expect(await q.stats()).toMatchObject({ ready: 3, inflight: 0, acked: 0 });
    expect((await q.peek()).items.map(({ attempts }) => attempts)).toEqual([0, 0, 0]);
    expect(await kept[0]?.ack()).toBe(false);
  });

  it('of a topic end with close()', async () => {
    const own = await server.connect();
    const got: unknown[] = [];
    const reading = (async () => {
      for await (const { data } of own.pubsub('t').messages()) got.push(data);
    })();
    await until('the subscription', async () => (await client.command<number>(['PUBLISH', 't', '1'])) === 1);
    await until('the message', () => got.length >= 1);
    await own.close();
    await reading;
  });
});

describe('a topic', () => {
  it('can be left while there is no connection, and is not there again with the next one', async () => {
    const heard: unknown[] = [];
    await client.pubsub('a/+').subscribe((data) => heard.push(data));
    await client.pubsub('b').subscribe((data) => heard.push(data));
    client.connection.socket.destroy();
    await Promise.all([client.pubsub('a/+').unsubscribe(), client.pubsub('b').unsubscribe()]);
    await until('the connection', () => client.isConnected);
    const other = await server.connect();
    await until('nobody to be subscribed', async () => {
      const [a, b] = [await other.command(['PUBLISH', 'a/x', '1']), await other.command(['PUBLISH', 'b', '1'])];
      return a === 0 && b === 0;
    });
    expect(heard).toEqual([]);
    await client.pubsub('b').subscribe((data) => heard.push(data));
    await other.pubsub('b').publish('again');
    await until('the message', () => heard.length > 0);
    expect(heard).toEqual(['again']);
    await other.close();
  });

  it('is heard once after a subscription that was given up', async () => {
    const own = await server.connect({ requestTimeoutMs: 1000 });
    server.hang();
    await expect(own.pubsub('t').subscribe(() => heard.push('first'))).rejects.toThrow(RequestTimeoutError);
    server.goOn();
    const heard: string[] = [];
    await until('the server', async () => (await own.ping().catch(() => -1)) >= 0);
    await own.pubsub('t').subscribe(() => heard.push('second'));
    await own.pubsub('t').publish(1);
    await own.pubsub('t').publish(2);
    await until('both', () => heard.length >= 2);
    expect(heard).toEqual(['second', 'second']);
    await own.pubsub('t').unsubscribe();
    await until('nobody to be subscribed', async () => (await own.command(['PUBLISH', 't', '1'])) === 0);
    await own.close();
  });
});

describe('tail()', () => {
  it('loses nothing with the connection, from the end on, before the first entry', async () => {
    const fetches: string[] = [];
    const call = ({ command, args }: CallBegin) => {
      if (command === 'XFETCH') fetches.push(args.join(' '));
      return undefined;
    };
    const own = await server.connect({ name: 'tail', reconnect: { minMs: 300, maxMs: 300 }, telemetry: { call } });
    const s = await own.stream<number>('s').create();
    await s.publish(0);
    const entries = s.tail();
    const first = entries.next();
    await until('the wait', () => fetches.length === 2);
    expect(fetches).toEqual(['XFETCH s next', 'XFETCH s 2 BLOCK 20000']);
    const list = String(await client.connection.text(['CLIENT', 'LIST'])).split('\n');
    const tailing = list.filter((line) => line.includes('name=tail')).at(-1) as string; // the last one that connected
    await client.command(['CLIENT', 'KILL', 'ID', /\bid=(\d+)/.exec(tailing)?.[1] as string]);
    await client.stream<number>('s').appendMany([1, 2, 3]);
    expect((await first).value).toMatchObject({ seq: 2n, data: 1 });
    expect((await entries.next()).value).toMatchObject({ data: 2 });
    await entries.return(undefined);
    await own.close();
  });

  it('ends within a page, and fails with the connection', async () => {
    const own = await server.connect({ reconnect: { minMs: 10, maxMs: 10, maxAttempts: 2 } });
    const s = await own.stream<number>('s').create();
    await s.appendMany([1, 2, 3]);
    const ending = new AbortController();
    const got: number[] = [];
    for await (const { data } of s.tail({ from: 'beginning', signal: ending.signal })) {
      got.push(data);
      ending.abort();
    }
    expect(got).toEqual([1]);
    const entries = s.tail({ from: { seq: 3 } });
    await entries.next();
    const failing = expect(entries.next()).rejects.toThrow(NotConnectedError);
    await server.kill();
    await failing;
    own.disconnect();
  });

  it('of a missing stream fails', async () => {
    await expect(client.stream('none').tail().next()).rejects.toMatchObject({ code: 'NOSTREAM' });
  });
});

it('replays those dead jobs that a text is found in, each once, though they die again', async () => {
  const q = await client.queue<string>('q').create({ maxRetries: 0 });
  await q.addMany(['red 1', 'blue 1', 'red 2', 'red 3']);
  let runs = 0;
  const fail = () => {
    runs++;
    throw new NexoError('NO', 'no');
  };
  const subscription = await q.subscribe(fail);
  await until('all dead', async () => (await q.stats()).dead === 4);
  expect(await q.dlq.replayAll({ filter: 'red' })).toBe(3);
  await until('all dead again', async () => (await q.stats()).dead === 4);
  expect(runs).toBe(7);
  expect(await q.dlq.replayAll({ filter: 'red', limit: 2 })).toBe(2);
  await until('all dead again', async () => (await q.stats()).dead === 4);
  expect(await q.dlq.replayAll({ limit: 1 })).toBe(1);
  expect(await q.dlq.replayAll({ filter: 'green' })).toBe(0);
  await subscription.stop();
});

it('has one abort listener for each running subscription, and none after', async () => {
  const listening = new Set<unknown>();
  const ending = new AbortController();
  const { signal } = ending;
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  signal.addEventListener = ((...args: Parameters<typeof add>) => {
    listening.add(args[1]);
    add(...args);
  }) as typeof add;
  signal.removeEventListener = ((...args: Parameters<typeof remove>) => {
    listening.delete(args[1]);
    remove(...args);
  }) as typeof remove;
  const q = await client.queue('q').create();
  for (let i = 0; i < 3; i++) {
    const subscription = await q.subscribe(() => {}, { signal });
    expect(listening.size).toBe(1);
    await subscription.stop();
    expect(listening.size).toBe(0);
  }
  for (let i = 0; i < 3; i++) await client.ping({ signal });
  expect(listening.size).toBe(0);
});

it('does not give an entry twice that came again while it waited here', async () => {
  const s = client.stream<number>('s');
  await s.appendMany([1, 2, 3]);
  await client.command(['XGCREATE', 's', 'g', 'ACKWAIT', '30000']);
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
    { waitMs: 100 },
  );
  await until('the first', () => got.length === 1);
  // Given back behind its back: the server delivers the two again, to whoever asks.
  client.connection.socket.destroy();
  await until('the connection', () => client.isConnected);
  await client.command(['XNACK', 's', 'g', 'SILENT', 'IDS', '2', '2', '3']);
  await client.stream<number>('s').publish(4);
  await pause(300);
  finish();
  await until('all', () => got.length >= 4);
  await until('the acknowledgements', async () => (await s.group('g')).pending === 0);
  await subscription.stop();
  expect(got).toEqual([1, 2, 3, 4]);
});

it('comes back after several losses at once', async () => {
  const q = await client.queue<number>('q').create();
  const got: number[] = [];
  const subscription = await q.subscribe((n) => got.push(n));
  for (let i = 0; i < 10; i++) {
    client.connection.socket.destroy();
    socketOf(subscription).destroy();
    await pause(i * 10);
  }
  await until('the connection', () => client.isConnected);
  await q.addMany([1, 2, 3]);
  await until('the jobs', () => got.length === 3);
  await pause(100);
  expect(got).toEqual([1, 2, 3]);
  expect(await others(client)).toBe(1);
  await subscription.stop();
});
