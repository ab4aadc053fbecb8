import { describe, expect, it } from 'vitest';
import {
  ConnectionClosedError,
  NexoClient,
  NotConnectedError,
  RequestTimeoutError,
  ServerError,
  ValidationError,
} from '../src/index.js';
import { client, name, server, serverForAll, until } from './server.js';
import { rejected } from './values.js';

serverForAll();

describe('the client', () => {
  const even = {
    '~standard': {
      version: 1 as const,
      vendor: 'test',
      validate: (value: unknown) =>
        typeof value === 'number' && value % 2 === 0 ? { value } : { issues: [{ message: 'not even' }] },
    },
  };

  it('checks schemas on both sides', async () => {
    const queue = client.queue<number>(name, { schema: even });
    await rejected(queue.push(1), ValidationError);
    await client.command(['QPUSH', name, '3']);
    await queue.push(2);
    const got: number[] = [];
    const subscription = await queue.subscribe((n) => got.push(n));
    await until('the good one', () => got.length === 1);
    await until('the bad one among the dead', async () => (await queue.dlq.peek()).total === 1);
    expect((await queue.dlq.peek()).items[0]!.failureReason).toContain('not even');
    await subscription.stop();
  });

  it('reads URLs, those of Redis clients among them, and refuses others', async () => {
    const named = await NexoClient.connect(`nexo://127.0.0.1:${server.port}?name=by-url`);
    expect(String(await named.connection.text(['CLIENT', 'GETNAME']))).toBe('by-url');
    await named.store.map.set(name, 0);
    for (const [path, database] of [
      ['', 0],
      ['/', 0],
      ['/0', 0],
      ['/3', 3],
    ] as const) {
      const other = await NexoClient.connect(`redis://127.0.0.1:${server.port}${path}`);
      expect(await other.store.map.get(name)).toBe(database === 0 ? 0 : null);
      expect(other.connection.options.database ?? 0).toBe(database);
      await other.store.map.set(`${name}-in`, database);
      await other.close();
    }
    await named.command(['SELECT', '3']);
    expect(await named.store.map.get(`${name}-in`)).toBe(3);
    await named.close();
    await rejected(NexoClient.connect('http://localhost'), ValidationError);
    await rejected(NexoClient.connect({ database: 1.5 }), ValidationError);
    await rejected(NexoClient.connect(`redis://127.0.0.1:${server.port}/999`), ServerError);
  });

  it('says what it could not connect to', async () => {
    for (const host of ['127.0.0.1', 'localhost', 'nowhere.invalid']) {
      const error = await rejected(NexoClient.connect({ host, port: 1 }), NotConnectedError, 'NOT_CONNECTED');
      expect(error.message).toMatch(new RegExp(`^cannot connect to ${host}:1: .*(ECONNREFUSED|ENOTFOUND|EAI_AGAIN)`));
      expect(error.cause).toBeInstanceOf(Error);
    }
  });

  it('pings, tells about the server, and passes commands on', async () => {
    expect(await client.ping()).toBeLessThan(5000);
    expect((await client.info()).redis_version).toBeDefined();
    expect(await client.command(['ECHO', Buffer.from([1, 255])])).toStrictEqual(Buffer.from([1, 255]));
    await rejected(client.command(['NOSUCH']), ServerError, 'ERR');
    expect(await client.redis.ping()).toBe('PONG');
  });

  it('gives up on calls that take too long or are aborted', async () => {
    const blocker = await server.connect();
    await blocker.queue(name).create();
    await rejected(blocker.command(['QPOP', name, 'BLOCK', '5000'], { timeoutMs: 30 }), RequestTimeoutError, 'REQUEST_TIMEOUT');
    blocker.disconnect();
    const aborted = new AbortController();
    const call = client.ping({ signal: aborted.signal });
    aborted.abort(new Error('enough'));
    await expect(call).rejects.toThrow('enough');
    await expect(client.ping({ signal: aborted.signal })).rejects.toThrow('enough');
  });

  it('rejects what is under way when it disconnects, and everything after', async () => {
    const own = await server.connect();
    await own.queue(name).create();
    const waiting = rejected(own.command(['QPOP', name, 'BLOCK', '5000']), ConnectionClosedError);
    await until('the wait', async () => Number((await client.queue(name).stats()).waiters) === 1);
    own.disconnect();
    await waiting;
    await rejected(own.ping(), NotConnectedError);
    expect(own.isConnected).toBe(false);
  });

  it('closes after what is under way, twice if need be', async () => {
    const own = await server.connect();
    const pushed = own.queue(name).push('last words');
    await own.close();
    await pushed;
    await own.close();
    expect((await client.queue(name).stats()).ready).toBe(1);
  });
});
