import { describe, expect, it } from 'vitest';
import { NotFoundError, ServerError, type StreamEntry, ValidationError } from '../src/index.js';
import { client, name, serverForAll, until } from './server.js';
import { rejected, same, values } from './values.js';

serverForAll();

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
