import { describe, expect, it } from 'vitest';
import { ServerError, ValidationError } from '../src/index.js';
import { client, name, serverForAll, until } from './server.js';
import { rejected, same, values } from './values.js';

serverForAll();

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
