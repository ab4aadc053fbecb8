import { describe, expect, it } from 'vitest';
import { NexoError, ValidationError } from '../src/index.js';
import { client, name, serverForAll, until } from './server.js';
import { rejected } from './values.js';

serverForAll();

describe('pubsub', () => {
  it('delivers topics and filters with their topic', async () => {
    const got: unknown[] = [];
    await client.pubsub(`${name}/a`).subscribe((data, meta) => got.push(['exact', data, meta.topic]));
    await client.pubsub(`${name}/+`).subscribe((data, meta) => got.push(['plus', data, meta.topic]));
    await client.pubsub(`${name}/#`).subscribe((data, meta) => got.push(['hash', data, meta.topic]));
    await client.pubsub(`${name}/a`).publish({ n: 1 });
    await client.pubsub(`${name}/b/c`).publish(Buffer.from([255]));
    await until('four messages', () => got.length === 4);
    expect(got).toContainEqual(['exact', { n: 1 }, `${name}/a`]);
    expect(got).toContainEqual(['plus', { n: 1 }, `${name}/a`]);
    expect(got).toContainEqual(['hash', { n: 1 }, `${name}/a`]);
    expect(got).toContainEqual(['hash', Buffer.from([255]), `${name}/b/c`]);
    for (const filter of ['a', '+', '#']) await client.pubsub(`${name}/${filter}`).unsubscribe();
    await client.pubsub(`${name}/a`).publish('nobody hears it');
    await client.ping();
    expect(got.length).toBe(4);
  });

  it('retains for late subscribers, and forgets', async () => {
    const topic = client.pubsub<string>(`${name}/state`);
    await topic.publish('kept', { retain: true });
    await client.pubsub(`${name}/short`).publish('gone', { retain: true, ttlMs: 20 });
    await new Promise((resolve) => setTimeout(resolve, 60));
    const got: string[] = [];
    await client.pubsub<string>(`${name}/#`).subscribe((data) => got.push(data));
    await until('the retained message', () => got.length > 0);
    expect(got).toStrictEqual(['kept']);
    expect(await client.pubsub(`${name}/#`).clearRetained()).toBe(1);
    await client.pubsub(`${name}/#`).unsubscribe();
  });

  it('refuses what cannot be', async () => {
    await rejected(client.pubsub(`${name}/+`).publish(1), ValidationError);
    await rejected(client.pubsub(name).publish(1, { ttlMs: 5 }), ValidationError);
    expect(() => client.pubsub('a/*/+')).toThrow(ValidationError);
    const topic = client.pubsub(name);
    await topic.subscribe(() => undefined);
    await rejected(
      topic.subscribe(() => undefined),
      NexoError,
      'SUBSCRIBED',
    );
    await topic.unsubscribe();
    await topic.unsubscribe();
  });

  it.each([
    ['a/#/b', "has '#' before its last level"],
    ['#/a', "has '#' before its last level"],
    ['a/b#', "has the level 'b#'"],
    ['a+/b', "has the level 'a+'"],
    ['a/++', "has the level '++'"],
    ['', 'is empty'],
    ['a\0b', 'holds a NUL character'],
    ['a/\ud800', 'half a surrogate pair'],
    [Array(129).fill('a').join('/'), 'has more than 128 levels'],
    ['a'.repeat(65_536), 'is longer than 65535 bytes'],
  ])('refuses the filter %j', async (filter, problem) => {
    const before = await client.command<unknown[]>(['PUBSUB', 'CHANNELS']);
    const subscribing = client.pubsub(filter).subscribe(() => {});
    await expect(subscribing).rejects.toThrow(problem);
    await rejected(subscribing, ValidationError);
    await rejected(client.pubsub(filter).messages().next(), ValidationError);
    expect(await client.command<unknown[]>(['PUBSUB', 'CHANNELS'])).toEqual(before);
  });

  it.each(['+', '#', 'a/+/b', '+/+', 'a/#', '/', 'a//b', Array(128).fill('a').join('/')])('takes %j', async (filter) => {
    await client.pubsub(filter).subscribe(() => {});
    await client.pubsub(filter).unsubscribe();
  });

  it('iterates', async () => {
    const stop = new AbortController();
    const got: unknown[] = [];
    const reading = (async () => {
      for await (const { data } of client.pubsub(`${name}/#`).messages({ signal: stop.signal })) {
        got.push(data);
        if (got.length === 3) stop.abort();
      }
    })();
    await until('the subscription', async () => {
      await client.pubsub(`${name}/x`).publish(got.length);
      return got.length >= 3;
    });
    await reading;
    expect(got.length).toBeGreaterThanOrEqual(3);
  });

  it('ends an iteration that falls behind with an error when told to', async () => {
    const iterator = client.pubsub(`${name}/#`).messages({ buffer: 2, overflow: 'error' });
    const first = iterator.next();
    await until('the first message', async () => {
      await client.pubsub(`${name}/x`).publish(1);
      return Promise.race([first.then(() => true), new Promise<boolean>((resolve) => setImmediate(() => resolve(false)))]);
    });
    for (let i = 0; i < 5; i++) await client.pubsub(`${name}/x`).publish(i);
    await client.ping();
    await rejected(
      (async () => {
        while (!(await iterator.next()).done);
      })(),
      NexoError,
      'OVERFLOW',
    );
  });
});
