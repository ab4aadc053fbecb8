import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type CallEnd,
  type MessageBegin,
  type MessageEnd,
  type NexoClient,
  type NexoTelemetry,
  NotConnectedError,
  RequestTimeoutError,
  ServerError,
} from '../src/index.js';
import { TestServer, until } from './server.js';

let server: TestServer;
let client: NexoClient;

beforeEach(async () => {
  server = await TestServer.start();
});
afterEach(async () => {
  client.disconnect();
  await server.stop();
});

/** Notes down what it is told. */
function recorder() {
  const calls: { command: string; end: CallEnd }[] = [];
  const messages: { begin: MessageBegin; end: MessageEnd }[] = [];
  const telemetry: NexoTelemetry = {
    call:
      ({ command }) =>
      (end) =>
        calls.push({ command, end }),
    message: async (begin, handle) => {
      messages.push({ begin, end: await handle() });
    },
  };
  return { calls, messages, telemetry };
}

describe('telemetry', () => {
  it('is told of each call once, and how it ended', async () => {
    const { calls, telemetry } = recorder();
    client = await server.connect({ telemetry, requestTimeoutMs: 5000 });
    await client.store.map.set('k', 1);
    await expect(client.command(['NOSUCH'])).rejects.toThrow(ServerError);
    await client.queue('q').create();
    await expect(client.command(['QPOP', 'q', 'BLOCK', '100'], { timeoutMs: 20 })).rejects.toThrow(RequestTimeoutError);
    await client.ping(); // behind the answer that came too late
    expect(calls.map(({ command }) => command)).toEqual(['NSET', 'NOSUCH', 'QCREATE', 'QPOP', 'PING']);
    expect(calls[0]?.end).toMatchObject({ reply: 'OK' });
    expect(calls[0]?.end.milliseconds).toBeGreaterThan(0);
    expect(calls[1]?.end.error).toBeInstanceOf(ServerError);
    expect(calls[3]?.end.error).toBeInstanceOf(RequestTimeoutError);
    expect(calls[3]?.end.milliseconds).toBeGreaterThanOrEqual(20);
  });

  it('surrounds each handler', async () => {
    const { calls, messages, telemetry } = recorder();
    client = await server.connect({ telemetry });
    const id = await client.queue<number>('q').add(1);
    await client.stream<string>('s').append('entry');
    const jobs = await client.queue<number>('q').subscribe((_, message) => message.toDlq('no'));
    const entries = await client.stream<string>('s').subscribe('g', () => {
      throw new Error('of the handler');
    });
    await until('both', () => messages.length === 2);
    await Promise.all([jobs.stop(), entries.stop()]);
    const at = { host: '127.0.0.1', port: server.port, attempt: 1 };
    const bySource = new Map(messages.map((message) => [message.begin.source, message]));
    expect(bySource.get('queue')?.begin).toEqual({ ...at, source: 'queue', name: 'q', id, data: 1 });
    expect(bySource.get('queue')?.end.error).toBe(undefined);
    expect(bySource.get('stream')?.begin).toEqual({ ...at, source: 'stream', name: 's', group: 'g', id: '1', data: 'entry' });
    expect(bySource.get('stream')?.end.error?.message).toBe('of the handler');
    expect(calls.map(({ command }) => command)).toContain('QNACK');
  });

  it.each([
    ['throws', () => Promise.reject(new Error('of the telemetry'))],
    ['runs no handler', () => Promise.resolve()],
    [
      'runs it twice',
      async (_: MessageBegin, handle: () => Promise<MessageEnd>) => void (await Promise.all([handle(), handle()])),
    ],
  ])('changes nothing when it %s', async (_, message) => {
    const log: string[] = [];
    const call = () => {
      throw new Error('of the telemetry');
    };
    const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: (line: string) => log.push(line) };
    client = await server.connect({ logger, logLevel: 'error', telemetry: { call, message } });
    const q = client.queue<number>('q');
    await q.push(1);
    const got: number[] = [];
    const subscription = await q.subscribe((n) => got.push(n));
    await until('the acknowledgement', async () => (await q.stats()).acked === 1);
    await subscription.stop();
    expect(got).toEqual([1]);
    expect(log[0]).toContain('of the telemetry');
  });

  it('is not told of handlers within the context of subscribe()', async () => {
    const request = new AsyncLocalStorage<string>();
    const contexts = new Map<string, string | undefined>();
    client = await server.connect({ telemetry: { call: ({ command }) => void contexts.set(command, request.getStore()) } });
    const q = client.queue<number>('q');
    const subscription = await request.run('a request', async () => {
      await q.push(1);
      return q.subscribe(() => void contexts.set('handler', request.getStore()));
    });
    await until('the acknowledgement', () => contexts.has('QACK'));
    await subscription.stop();
    expect(Object.fromEntries(contexts)).toMatchObject({ QPUSH: 'a request' });
    for (const one of ['QPOP', 'handler', 'QACK']) expect([one, contexts.get(one)]).toEqual([one, undefined]);
  });
});

describe('time limits', () => {
  it('are kept for calls with different ones, in any order', async () => {
    client = await server.connect();
    await client.queue('q').create();
    const limits = [400, 100, 250, 100, 400, 250, 50];
    const began = performance.now();
    const ends = await Promise.all(
      limits.map((timeoutMs) =>
        client.command(['QPOP', 'q', 'BLOCK', '3000'], { timeoutMs }).catch((error: Error) => {
          expect(error).toBeInstanceOf(RequestTimeoutError);
          expect(error.message).toBe(`QPOP had no answer within ${timeoutMs} ms`);
          return performance.now() - began;
        }),
      ),
    );
    for (const [i, end] of ends.entries()) {
      expect(end).toBeGreaterThanOrEqual(limits[i] as number);
      expect(end).toBeLessThan((limits[i] as number) + 300);
    }
  });

  it('hold again for the calls after those that were answered', async () => {
    client = await server.connect({ requestTimeoutMs: 200 });
    await client.queue('q').create();
    await client.ping();
    await new Promise((resolve) => setTimeout(resolve, 150)); // the timer of the first call is still running
    const began = performance.now();
    await expect(client.command(['QPOP', 'q', 'BLOCK', '3000'])).rejects.toThrow(RequestTimeoutError);
    const took = performance.now() - began;
    expect(took).toBeGreaterThanOrEqual(200);
    expect(took).toBeLessThan(300);
  });

  it('are none when they are 0 or infinite, and may be longer than a timer', async () => {
    client = await server.connect();
    await client.queue('q').create();
    for (const timeoutMs of [0, Number.POSITIVE_INFINITY, 2 ** 40]) {
      expect(await client.command(['QPOP', 'q', 'BLOCK', '60'], { timeoutMs })).toBe(null);
    }
  });

  it('include the wait for a connection', async () => {
    client = await server.connect({ offline: 'queue', reconnect: { minMs: 50, maxMs: 50 } });
    await server.kill();
    await until('the loss', () => !client.isConnected);
    const stop = new AbortController();
    await expect(client.ping({ timeoutMs: 30 })).rejects.toThrow(RequestTimeoutError);
    await expect(client.ping({ signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before');
    const stopped = expect(client.store.map.incr('n', 1, { signal: stop.signal })).rejects.toThrow('meanwhile');
    const patient = client.store.map.incr('n', 1, { timeoutMs: 0 });
    stop.abort(new Error('meanwhile'));
    await stopped;
    await server.start();
    expect(await patient).toBe(1); // what was aborted was not sent
    await server.kill();
    await until('the loss', () => !client.isConnected);
    const left = expect(client.ping()).rejects.toThrow(NotConnectedError);
    client.disconnect();
    await left;
  });
});
