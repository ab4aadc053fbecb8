import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NexoClient } from '../src/index.js';
import { asError, reasonOf, stackOf, textOf } from '../src/thrown.js';
import { TestServer, until } from './server.js';

// A handler may throw anything. Whatever it is, the message has failed, and a reason is kept.

let server: TestServer;
let client: NexoClient;

beforeAll(async () => {
  server = await TestServer.start();
  client = await server.connect();
});
afterAll(async () => {
  client.disconnect();
  await server.stop();
});

const fail = (): never => {
  throw new Error('of a getter');
};
const revoked = Proxy.revocable({}, {});
revoked.revoke();
class Custom extends Error {
  override get message(): string {
    return fail();
  }
}

const odd: [string, unknown, string][] = [
  ['an error', new Error('plain'), 'plain'],
  ['an error without a message', new TypeError(), 'TypeError'],
  ['undefined', undefined, 'undefined'],
  ['null', null, 'null'],
  ['a text', 'words', 'words'],
  ['an empty text', '', 'an empty text'],
  ['a number', 7, '7'],
  ['a bigint', 7n, '7'],
  ['a symbol', Symbol('s'), 'Symbol(s)'],
  ['an object', { code: 5 }, '{ code: 5 }'],
  ['an object with a message', { message: 'told' }, 'told'],
  ['an object without a prototype', Object.create(null), '[Object: null prototype] {}'],
  ['a frozen object', Object.freeze({ message: 'cold' }), 'cold'],
  ['a frozen error', Object.freeze(new Error('ice')), 'ice'],
  ['an object whose message throws', Object.defineProperty({}, 'message', { get: fail }), '{}'],
  ['an error whose message throws', new Custom(), 'something that cannot be read'],
  ['an error whose message is a number', Object.assign(new Error(), { message: 5 }), 'Error: 5'],
  ['an object that makes no text', { toString: fail, [Symbol.toPrimitive]: fail }, '{'],
  ['a revoked proxy', revoked.proxy, '<Revoked Proxy>'],
  ['a function', function named() {}, '[Function: named]'],
];

it.each(odd)('%s can be read', (_, thrown, text) => {
  expect(textOf(thrown).startsWith(text)).toBe(true);
  expect(reasonOf(thrown)).toBe(textOf(thrown));
  const error = asError(thrown);
  expect(error).toBeInstanceOf(Error);
  expect(typeof error.message).toBe('string');
  expect(stackOf(thrown)).not.toBe('');
});

it('a reason has at most 1,000 bytes, and whole characters', () => {
  for (const one of ['a', 'ü', '日', '🚀']) {
    const reason = reasonOf(one.repeat(2000));
    expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(1000);
    expect(Buffer.byteLength(reason)).toBeGreaterThan(996);
    expect(reason).toBe(one.repeat(reason.length / one.length));
  }
});

describe('what a handler throws', () => {
  const long = '日'.repeat(2000);
  const all: [string, unknown, string][] = [...odd, ['a long text', long, long.slice(0, 333)]];

  it('is the reason of a dead job', async () => {
    const q = await client.queue<number>('q').create({ maxRetries: 1 });
    const errors: Error[] = [];
    const ids = await q.addMany(all.map((_, i) => i));
    const subscription = await q.subscribe(
      (n) => {
        throw all[n]?.[1];
      },
      { onError: (error) => errors.push(error) },
    );
    await until('all dead', async () => (await q.stats()).dead === all.length);
    await subscription.stop();
    expect(errors).toEqual([]);
    const reasons = new Map((await q.dlq.peek(100)).items.map(({ id, failureReason }) => [id, failureReason]));
    for (const [i, [what, , text]] of all.entries()) {
      expect([what, reasons.get(ids[i] as string)?.startsWith(text)]).toEqual([what, true]);
    }
  });

  it('is the reason of a parked entry', async () => {
    const s = await client.stream<number>('s').create();
    await s.appendMany(all.map((_, i) => i));
    await client.command(['XGCREATE', 's', 'g', 'MAXDELIVER', '1']);
    const errors: Error[] = [];
    const subscription = await s.subscribe(
      'g',
      (n) => {
        throw all[n]?.[1];
      },
      { onError: (error) => errors.push(error) },
    );
    await until('all parked', async () => (await s.group('g')).parked === all.length);
    await subscription.stop();
    expect(errors).toEqual([]);
    const parked = await client.connection.text<[number, number, number, string, string][]>(['XPARKED', 's', 'g']);
    for (const [i, [what, , text]] of all.entries()) {
      expect([what, parked[i]?.[3].startsWith(text)]).toEqual([what, true]);
    }
  });
});

it.each(odd)('a topic goes on after a callback that throws %s', async (_, thrown) => {
  const log: string[] = [];
  const own = await server.connect({ logger: (level, text) => log.push(`${level} ${text}`), logLevel: 'error' });
  let got = 0;
  await own.pubsub('t').subscribe(() => {
    got++;
    throw thrown;
  });
  await client.pubsub('t').publish(1);
  await client.pubsub('t').publish(2);
  await until('both', () => log.length === 2);
  expect(got).toBe(2);
  expect(log[0]).toMatch(/^error nexo: subscription to t: message of t: ./);
  await own.close();
});

it('a schema and an onError that throw undefined fail the job and change nothing else', async () => {
  const schema = {
    '~standard': {
      version: 1 as const,
      vendor: 'test',
      validate: (value: unknown) => {
        if (value === 1) throw undefined;
        return { value };
      },
    },
  };
  await client.queue('odd').addMany([1, 2]);
  const got: unknown[] = [];
  const onError = () => {
    throw undefined;
  };
  const subscription = await client.queue('odd', { schema }).subscribe((data) => got.push(data), { onError });
  await until('both', async () => {
    const { dead, acked } = await client.queue('odd').stats();
    return dead === 1 && acked === 1;
  });
  await subscription.stop();
  expect(got).toEqual([2]);
  expect((await client.queue('odd').dlq.peek()).items[0]?.failureReason).toBe('undefined');
});

describe('what a handler cannot send', () => {
  it('settles nothing, and its error fails the job', async () => {
    const q = await client.queue<string>('settle').create({ maxRetries: 1 });
    await q.addMany(['delay', 'reason', 'swallowed']);
    const subscription = await q.subscribe(async (word, message) => {
      if (word === 'delay') await message.nack('no', { delayMs: -1 });
      if (word === 'reason') await message.toDlq(undefined as never);
      if (word === 'swallowed') await message.nack('no', { delayMs: Number.NaN }).catch(() => undefined);
    });
    await until('all', async () => (await q.stats()).inflight + (await q.stats()).ready === 0);
    await subscription.stop();
    expect(await q.stats()).toMatchObject({ dead: 2, acked: 1 });
    const reasons = (await q.dlq.peek()).items.map(({ data, failureReason }) => [data, failureReason]);
    expect(Object.fromEntries(reasons)).toEqual({
      delay: 'delayMs is -1, not a number of milliseconds from 0 on',
      reason: 'undefined',
    });
  });
});
