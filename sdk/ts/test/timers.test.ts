import { afterEach, describe, expect, it, vi } from 'vitest';
import { ValidationError } from '../src/index.js';
import { after, every, pause } from '../src/timers.js';
import { TestServer, until } from './server.js';

const day = 24 * 3600 * 1000;

describe('timers', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('wait as long as they are told', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const ran: string[] = [];
    for (const days of [1, 24, 25, 30, 90, 365]) after(days * day, () => ran.push(`after ${days}`));
    after(Number.POSITIVE_INFINITY, () => ran.push('never'));
    after(40 * day, () => ran.push('cancelled')).cancel();
    const ticking = every(30 * day, () => ran.push('tick'));
    await vi.advanceTimersByTimeAsync(day);
    expect(ran).toEqual(['after 1']);
    await vi.advanceTimersByTimeAsync(24 * day);
    expect(ran).toEqual(['after 1', 'after 24', 'after 25']);
    await vi.advanceTimersByTimeAsync(66 * day);
    expect(ran.slice(3).sort()).toEqual(['after 30', 'after 90', 'tick', 'tick', 'tick']);
    ticking.cancel();
    await vi.advanceTimersByTimeAsync(400 * day);
    expect(ran.slice(8)).toEqual(['after 365']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('end with a signal, and leave nothing', async () => {
    const ending = new AbortController();
    const waiting = pause(100 * day, ending.signal);
    ending.abort();
    await waiting;
    await pause(100 * day, ending.signal);
    await pause(0);
  });
});

it('a lease of 90 days is renewed after 30, not all the time', async () => {
  const server = await TestServer.start();
  const commands: string[] = [];
  const client = await server.connect({ telemetry: { call: ({ command }) => void commands.push(command) } });
  const q = await client.queue('q').create({ visibilityTimeoutMs: 90 * day });
  const s = await client.stream('s').create();
  await client.command(['XGCREATE', 's', 'g', 'ACKWAIT', '90d']);
  await q.push(1);
  await s.publish(1);
  let finish: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let begun = 0;
  const handler = () => {
    begun++;
    return finished;
  };
  const subscriptions = [await q.subscribe(handler), await s.subscribe('g', handler)];
  await until('both', () => begun === 2);
  await pause(300);
  expect(commands.filter((command) => /EXTEND/.test(command))).toEqual([]);
  finish();
  await Promise.all(subscriptions.map((subscription) => subscription.stop()));
  client.disconnect();
  await server.stop();
});

it('close() waits without limit when it is told so', async () => {
  const server = await TestServer.start();
  for (const timeoutMs of [Number.POSITIVE_INFINITY, 100 * day]) {
    const client = await server.connect();
    const q = client.queue('q');
    await q.push(1);
    let begun = false;
    let done = false;
    await q.subscribe(async () => {
      begun = true;
      await pause(300);
      done = true;
    });
    await until('the handler', () => begun);
    await client.close({ timeoutMs });
    expect(done).toBe(true);
  }
  const client = await server.connect();
  for (const timeoutMs of [-1, Number.NaN, '5' as never]) {
    await expect(client.close({ timeoutMs })).rejects.toThrow(ValidationError);
  }
  expect(client.isConnected).toBe(true); // what was refused changed nothing
  await client.close({ timeoutMs: 0 });
  expect(await server.connect().then((own) => own.queue('q').stats())).toMatchObject({ acked: 2 });
  await server.stop();
});

it('delays between attempts to reconnect may be as long as they want', async () => {
  const server = await TestServer.start();
  const attempts: string[] = [];
  const client = await server.connect({
    reconnect: { minMs: 100 * day, maxMs: Number.POSITIVE_INFINITY },
    logLevel: 'warn',
    logger: (_, text) => attempts.push(text),
  });
  await server.kill();
  await until('the loss', () => !client.isConnected);
  await pause(200);
  expect(attempts.filter((text) => text.includes('attempt'))).toEqual([]);
  client.disconnect();
  await server.stop();
});

it('a wait that the server would refuse is refused by subscribe()', async () => {
  const server = await TestServer.start();
  const client = await server.connect();
  await client.queue('q').create();
  await client.stream('s').create();
  for (const waitMs of [-1, Number.NaN, Number.POSITIVE_INFINITY, 1e20]) {
    await expect(client.queue('q').subscribe(() => {}, { waitMs })).rejects.toThrow(ValidationError);
    await expect(client.stream('s').subscribe('g', () => {}, { waitMs })).rejects.toThrow(ValidationError);
  }
  await client.close();
  await server.stop();
});
