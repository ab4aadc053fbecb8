import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type NexoClient, type NexoLock, ValidationError } from '../src/index.js';
import { pause } from '../src/timers.js';
import { TestServer, until } from './server.js';

let server: TestServer;
let client: NexoClient;
let other: NexoClient;

beforeEach(async () => {
  server = await TestServer.start();
  client = await server.connect({ reconnect: { minMs: 30, maxMs: 30 } });
  other = await server.connect({ reconnect: { minMs: 30, maxMs: 30 } });
});
afterEach(async () => {
  client.disconnect();
  other.disconnect();
  await server.stop();
});

async function taken(c: NexoClient, o: Parameters<NexoClient['store']['lock']>[1] = {}): Promise<NexoLock> {
  const lock = await c.store.lock('l', o);
  if (lock === null) throw new Error('the lock is not free');
  return lock;
}

describe('store.lock', () => {
  it('is held by one at a time, of many', async () => {
    let inside = 0;
    let most = 0;
    let turns = 0;
    const worker = async (c: NexoClient): Promise<void> => {
      for (let i = 0; i < 5; i++) {
        await using lock = await taken(c, { waitMs: 60_000 });
        most = Math.max(most, ++inside);
        await pause(2);
        expect(lock.isHeld).toBe(true);
        inside--;
        turns++;
      }
    };
    await Promise.all([client, other, client, other, client, other].map(worker));
    expect([most, turns]).toEqual([1, 30]);
    expect(await client.store.map.has('lock:l')).toBe(false);
  });

  it('is null for others until it is released, however long that takes', async () => {
    const lock = await taken(client, { ttlMs: 600 });
    for (let i = 0; i < 24; i++) {
      await pause(100); // four times its time
      expect(await other.store.lock('l')).toBeNull();
    }
    expect([lock.isHeld, lock.signal.aborted]).toEqual([true, false]);
    expect(await lock.release()).toBe(true);
    expect([lock.isHeld, lock.signal.aborted]).toEqual([false, true]);
    expect(await lock.release()).toBe(true); // it is the same release
    const next = await taken(other);
    expect(next.name).toBe('l');
    await next.release();
  });

  it('is waited for', async () => {
    const lock = await taken(client);
    const began = performance.now();
    expect(await other.store.lock('l', { waitMs: 120 })).toBeNull();
    expect(performance.now() - began).toBeGreaterThanOrEqual(120);
    const waiting = other.store.lock('l', { waitMs: Number.POSITIVE_INFINITY });
    await pause(60);
    await lock.release();
    const next = await waiting;
    expect(next?.isHeld).toBe(true);
    const ending = new AbortController();
    const aborted = client.store.lock('l', { waitMs: 10_000, signal: ending.signal });
    await pause(30);
    ending.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    await next?.release();
    expect(await client.store.map.has('lock:l')).toBe(false);
  });

  it('tells at once when it is not ours any more, and lets go of nobody else’s', async () => {
    const lock = await taken(client, { ttlMs: 300 });
    await client.store.map.del('lock:l');
    const theirs = await taken(other);
    await until('the signal', () => lock.signal.aborted, 1000);
    expect(await lock.release()).toBe(false);
    expect(theirs.isHeld).toBe(true);
    expect(await client.store.lock('l')).toBeNull();
    await theirs.release();
  });

  it('is given up before anybody else can have it when the server does not answer', async () => {
    const lock = await taken(client, { ttlMs: 400 });
    server.hang();
    const began = performance.now();
    await until('the signal', () => lock.signal.aborted, 2000);
    expect(performance.now() - began).toBeLessThan(1000);
    server.goOn();
    await until('the lock to be free', async () => {
      const next = await other.store.lock('l').catch(() => null);
      await next?.release();
      return next !== null;
    });
  });

  it('survives a loss of the connection that is shorter than its time', async () => {
    const lock = await taken(client, { ttlMs: 1200 });
    for (let i = 0; i < 3; i++) {
      await pause(300);
      client.connection.socket.destroy();
      await until('the connection', () => client.isConnected);
    }
    await pause(900);
    expect(lock.isHeld).toBe(true);
    expect(await other.store.lock('l')).toBeNull();
    client.connection.socket.destroy();
    expect(await lock.release()).toBe(true); // waits for the connection
  });

  it('is held no more after the server has lost it', async () => {
    const lock = await taken(client, { ttlMs: 600 });
    await server.kill();
    await server.start(); // its store is in memory
    await until('the signal', () => lock.signal.aborted, 2000);
    await until('the connection', () => other.isConnected);
    const next = await taken(other);
    expect(await lock.release()).toBe(false);
    expect(next.isHeld).toBe(true);
    await next.release();
  });

  it('is let go by close(), after the handlers, and by nobody else after disconnect()', async () => {
    const own = await server.connect();
    const q = own.queue('q');
    await q.push(1);
    let held: boolean | undefined;
    let begun = false;
    const lock = await taken(own);
    await q.subscribe(async () => {
      begun = true;
      await pause(100);
      held = lock.isHeld;
    });
    await until('the handler', () => begun);
    await own.close();
    expect(held).toBe(true);
    const another = await server.connect();
    const next = await taken(another, { ttlMs: 1000 });
    another.disconnect();
    expect(next.isHeld).toBe(false);
    expect(await client.store.lock('l')).toBeNull(); // its time has to end
    await (await taken(client, { waitMs: 5000 })).release();
  });

  it('leaves nothing behind when it was asked for and the answer got lost', async () => {
    for (let round = 0; round < 10; round++) {
      const asking = other.store.lock('l', { ttlMs: 60_000 }).catch(() => null);
      await new Promise((resolve) => setImmediate(resolve)); // it is on its way
      other.connection.socket.destroy();
      const lock = await asking;
      await until('the connection', () => other.isConnected);
      await lock?.release();
      await (await taken(client, { waitMs: 5000 })).release();
    }
  });

  it('refuses times that are none', async () => {
    for (const o of [{ ttlMs: 99 }, { ttlMs: Number.NaN }, { ttlMs: -1 }, { waitMs: -1 }, { waitMs: Number.NaN }]) {
      await expect(client.store.lock('l', o)).rejects.toThrow(ValidationError);
    }
    await expect(client.store.lock('l', { ttlMs: Number.POSITIVE_INFINITY })).rejects.toThrow(ValidationError);
    expect(await client.store.map.has('lock:l')).toBe(false);
  });
});

describe('store.limiter', () => {
  it('lets so many through, whoever asks', async () => {
    const config = { max: 10, windowMs: 60_000 };
    const limiters = [client.store.limiter('login', config), other.store.limiter('login', config)];
    const results = await Promise.all(Array.from({ length: 30 }, (_, i) => limiters[i % 2]?.take('ann')));
    expect(results.filter((result) => result?.allowed)).toHaveLength(10);
    const [one] = limiters as [NonNullable<(typeof limiters)[0]>];
    const refused = await one.take('ann');
    expect(refused).toMatchObject({ allowed: false, remaining: 0 });
    expect(refused.retryAfterMs).toBeGreaterThan(5000);
    expect(refused.retryAfterMs).toBeLessThanOrEqual(6000);
    expect(refused.resetMs).toBeGreaterThan(50_000);
    expect(await one.take('bob')).toMatchObject({ allowed: true, remaining: 9, retryAfterMs: 0 });
    expect(await one.peek('ann')).toMatchObject({ allowed: false, remaining: 0 });
    expect(await one.peek('bob')).toMatchObject({ allowed: true, remaining: 9 });
    expect(await one.reset('ann')).toBe(true);
    expect(await one.reset('ann')).toBe(false);
    expect(await one.take('ann', { cost: 10 })).toMatchObject({ allowed: true, remaining: 0 });
    expect(await client.store.limiter('other', config).take('ann')).toMatchObject({ allowed: true });
  });

  it('lets more through as time goes', async () => {
    const limiter = client.store.limiter('l', { max: 2, windowMs: 200 });
    await limiter.take('a', { cost: 2 });
    const { allowed, retryAfterMs } = await limiter.take('a');
    expect(allowed).toBe(false);
    await pause(retryAfterMs + 5);
    expect(await limiter.take('a')).toMatchObject({ allowed: true });
  });

  it('refuses what makes no sense', async () => {
    for (const config of [
      ...[
        { max: 0, windowMs: 1 },
        { max: 1.5, windowMs: 1 },
        { max: 1, windowMs: 0 },
        { max: 1, windowMs: -1 },
      ],
      ...[
        { max: Number.NaN, windowMs: 1 },
        { max: 1, windowMs: Number.POSITIVE_INFINITY },
      ],
    ]) {
      expect(() => client.store.limiter('l', config)).toThrow(ValidationError);
    }
    const limiter = client.store.limiter('l', { max: 2, windowMs: 1000 });
    for (const cost of [-1, 0.5, 3, Number.NaN]) await expect(limiter.take('a', { cost })).rejects.toThrow(ValidationError);
    expect(await limiter.peek('a')).toMatchObject({ remaining: 2 });
  });
});
