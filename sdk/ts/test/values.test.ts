import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type NexoClient, ValidationError } from '../src/index.js';
import { TestServer, until } from './server.js';

// A value is written within the call: what the caller does with it afterwards changes nothing, and calls keep their order.

let server: TestServer;
let client: NexoClient;

beforeEach(async () => {
  server = await TestServer.start();
  client = await server.connect();
});
afterEach(async () => {
  client.disconnect();
  await server.stop();
});

interface Value {
  n: number;
  deep: { list: number[] };
}

/** What is told by calls that nobody waits for, each followed by a change of the value; and how to read it back. */
const ways: [string, (c: NexoClient, v: Value | Buffer) => Promise<unknown>, (c: NexoClient) => Promise<unknown>][] = [
  ['queue.push', (c, v) => c.queue('q').push(v), peeked],
  ['queue.add', (c, v) => c.queue('q').add(v, { jobId: 'k' }), peeked],
  ['queue.addMany', (c, v) => c.queue('q').addMany([v]), peeked],
  ['stream.publish', (c, v) => c.stream('s').publish(v), read],
  ['stream.append', (c, v) => c.stream('s').append(v, { id: 'k' }), read],
  ['stream.appendMany', (c, v) => c.stream('s').appendMany([v]), read],
  ['pubsub.publish', (c, v) => c.pubsub('t').publish(v, { retain: true }), retained],
  ['map.set', (c, v) => c.store.map.set('k', v), stored],
  ['map.setMany', (c, v) => c.store.map.setMany({ k: v }), stored],
  ['map.getSet', (c, v) => c.store.map.getSet('k', v), stored],
];

async function peeked(c: NexoClient): Promise<unknown> {
  return (await c.queue('q').peek()).items[0]?.data;
}
async function read(c: NexoClient): Promise<unknown> {
  return (await c.stream('s').read())[0]?.data;
}
async function stored(c: NexoClient): Promise<unknown> {
  return c.store.map.get('k');
}
async function retained(c: NexoClient): Promise<unknown> {
  for await (const { data } of c.pubsub('t').messages()) return data;
  return undefined;
}

describe.each(ways)('%s', (_, send, back) => {
  it('sends an object as it was in the call', async () => {
    const value: Value = { n: 1, deep: { list: [1] } };
    const sent = send(client, value);
    value.n = 2;
    value.deep.list.push(2);
    await sent;
    expect(await back(client)).toEqual({ n: 1, deep: { list: [1] } });
  });

  it.each([
    ['that is text', [0x61, 0x62]],
    ['that is not', [1, 0xff]],
  ])('sends a Buffer %s as it was in the call', async (__, bytes) => {
    const value = Buffer.from(bytes);
    const sent = send(client, value);
    value.fill(9);
    await sent;
    expect(await back(client)).toEqual(Buffer.from(bytes));
  });

  it('does so although it waits for a connection', async () => {
    const patient = await server.connect({ offline: 'queue', reconnect: { minMs: 30, maxMs: 30 } });
    patient.connection.socket.destroy();
    const value = { n: 1, deep: { list: [1] } };
    const sent = send(patient, value);
    value.n = 2;
    await sent;
    expect(await back(client)).toEqual({ n: 1, deep: { list: [1] } });
    await patient.close();
  });
});

it('sends the bytes of any other form as they were in the call', async () => {
  const bytes = Buffer.from([1, 0xff]);
  const sent = [
    client.store.map.set('bytes', bytes, { as: 'bytes' }),
    client.store.map.set('array', new Uint8Array(bytes.buffer, bytes.byteOffset, 2)),
    client.command(['SET', 'command', bytes]),
  ];
  bytes.fill(9);
  await Promise.all(sent);
  for (const key of ['bytes', 'array', 'command']) expect(await client.store.map.get(key)).toEqual(Buffer.from([1, 0xff]));
  const args = ['SET', 'list', 'before'];
  const told = client.command(args);
  args[2] = 'after';
  await told;
  expect(await client.store.map.get('list')).toBe('before');
});

it('update() sends what the function answered when it did', async () => {
  const kept: { n: number }[] = [];
  const updating = client.store.map.update<{ n: number }>('k', () => {
    const next = { n: 1 };
    kept.push(next);
    return Promise.resolve(next);
  });
  await updating;
  (kept[0] as { n: number }).n = 2;
  expect(await client.store.map.get('k')).toEqual({ n: 1 });
});

it('update() rounds no whole number, however long', async () => {
  const text = '{"id":9007199254740993,"n":1,"far":-170141183460469231731687303715884105728}';
  await client.command(['SET', 'k', text]);
  await client.store.map.update('k', (value) => ({ ...value, n: value.n + 1 }));
  expect(await client.store.map.get('k', { as: 'text' })).toBe(text.replace('"n":1', '"n":2'));
});

it('the options of a call are those of the call', async () => {
  const o = { priority: 7, delayMs: 60_000 };
  const slow = client.queue<number>('q', { schema: answering(async (value) => ({ value: value as number })) });
  const sent = slow.push(1, o);
  o.priority = 1;
  o.delayMs = 0;
  await sent;
  expect((await client.queue('q').peek('delayed')).items[0]).toMatchObject({ priority: 7 });
});

describe('calls that nobody waits for', () => {
  it('arrive in their order, whichever they are', async () => {
    const commands: string[] = [];
    const own = await server.connect({ telemetry: { call: ({ command }) => void commands.push(command) } });
    const calls = [
      own.pubsub('t').publish(1),
      own.store.map.set('k', 1),
      own.queue('q').push(1),
      own.stream('s').append(1),
      own.store.map.get('k'),
      own.pubsub('t').subscribe(() => {}),
      own.queue('q').addMany([1]),
      own.pubsub('t').unsubscribe(),
      own.stream('s').appendMany([1]),
      own.store.map.update('k', () => 2),
      own.pubsub('t').publish(2),
      own.ping(),
    ];
    const inTurn = [...commands];
    await Promise.all(calls);
    expect(inTurn).toEqual([
      ...['NPUB', 'NSET', 'QPUSH', 'XAPPEND', 'NGET', 'SUBSCRIBE', 'QMPUSH', 'UNSUBSCRIBE', 'XMAPPEND', 'NGET', 'NPUB', 'PING'],
    ]);
    await own.close();
  });

  it('publish what a subscription of the next line does not hear', async () => {
    for (let round = 0; round < 20; round++) {
      const got: unknown[] = [];
      const topic = client.pubsub(`t/${round}`);
      const early = topic.publish('early');
      const subscribed = topic.subscribe((data) => got.push(data));
      const late = topic.publish('late');
      await Promise.all([early, subscribed, late]);
      await until('the message', () => got.length > 0);
      expect(got).toEqual(['late']);
    }
  });
});

function answering(validate: (value: unknown) => unknown) {
  return { '~standard': { version: 1 as const, vendor: 'test', validate: validate as never } };
}

describe('with a schema', () => {
  it('that answers at once, the value is written in the call', async () => {
    const q = client.queue<{ n: number }>('q', { schema: answering((value) => ({ value })) });
    const value = { n: 1 };
    const sent = q.push(value);
    value.n = 2;
    await sent;
    expect(await peeked(client)).toEqual({ n: 1 });
  });

  const slow = answering(async (value) => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return (value as { n: number }).n < 0 ? { issues: [{ message: 'negative' }] } : { value };
  });

  it('that answers a promise, a value that is changed meanwhile is refused', async () => {
    const q = client.queue<{ n: number }>('q', { schema: slow });
    const [value, kept] = [{ n: 1 }, { n: 3 }];
    const sent = [q.push(value), q.addMany([kept, value]), client.stream('s', { schema: slow }).append(value)];
    const topic = client.pubsub<{ n: number }>('t', { schema: slow }).publish(value);
    value.n = 2;
    for (const call of [...sent, topic]) await expect(call).rejects.toThrow(ValidationError);
    await expect(sent[0]).rejects.toThrow('was changed while its schema was checking it');
    expect(await q.exists()).toBe(false);
    await q.push(kept);
    expect(await peeked(client)).toEqual({ n: 3 });
    await expect(q.push({ n: -1 })).rejects.toThrow('negative');
  });

  it('that answers a promise, close() waits for the call', async () => {
    const own = await server.connect();
    const pushed = own.queue<{ n: number }>('q', { schema: slow }).push({ n: 1 });
    await own.close();
    await pushed;
    expect(await peeked(client)).toEqual({ n: 1 });
  });
});
