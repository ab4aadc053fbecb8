import { expect, it } from 'vitest';
import { TestServer, until } from './server.js';

// A server that starts has its port open before its logs are loaded, and answers LOADING until they are.

it('waits for a server that loads its logs, with what it had subscribed', async () => {
  const server = await TestServer.start();
  const client = await server.connect({ reconnect: { minMs: 20, maxMs: 20 }, offline: 'queue' });
  const jobs: unknown[] = [];
  const messages: unknown[] = [];
  await client.queue('q').create();
  await client.queue('q').subscribe((job) => {
    jobs.push(job);
  });
  await client.pubsub('t').subscribe((message) => {
    messages.push(message);
  });
  let connects = 0;
  client.on('reconnect', () => {
    connects++;
  });
  try {
    await server.kill();
    const release = server.holdLoading();
    server.launch();
    await until('the port to be open', async () => {
      const failed = await server.connect().catch((error: Error) => error);
      return failed instanceof Error && /LOADING/.test(failed.message);
    });
    const pushing = client.queue('q').push('waited');
    await new Promise((resolve) => setTimeout(resolve, 200)); // some attempts to come back are made meanwhile
    expect(client.isConnected).toBe(false);
    expect(connects).toBe(0);
    release();
    await pushing;
    await until('the job', () => jobs.length === 1);
    await client.pubsub('t').publish('live');
    await until('the message', () => messages.length === 1);
  } finally {
    client.disconnect();
    await server.stop();
  }
});
