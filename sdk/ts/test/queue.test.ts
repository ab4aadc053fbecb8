import { describe, expect, it } from 'vitest';
import { NexoError, NotFoundError, type QueueMessage, ServerError, ValidationError } from '../src/index.js';
import { client, name, serverForAll, until } from './server.js';
import { rejected, same, values } from './values.js';

serverForAll();

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
    expect(performance.now() - began).toBeLessThan(5000); // its request would wait for 20 s
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
