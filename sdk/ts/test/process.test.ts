import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConnectionClosedError, type NexoOptions, NotConnectedError, ValidationError } from '../src/index.js';
import { TestServer, until } from './server.js';

// What a client does to the process that it runs in. The scripts are run with the built package.

let server: TestServer;

beforeEach(async () => {
  server = await TestServer.start();
});
afterEach(async () => {
  await server.stop();
});

const built = join(import.meta.dirname, '../dist/esm/index.js');

/** Runs a script in a process of its own, which has a connected `client`, `pause`, `say` and `toGoOn`. */
function run(script: string, flags: readonly string[] = []) {
  const source = `
    import { NexoClient } from ${JSON.stringify(built)};
    const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const toGoOn = () => new Promise((resolve) => process.stdin.once('data', resolve)).then(() => process.stdin.destroy());
    const say = (text) => process.stdout.write(text + '\\n');
    const options = { port: ${server.port}, reconnect: { minMs: 20, maxMs: 50 } };
    const client = await NexoClient.connect(options);
    ${script}`;
  const child = spawn(process.execPath, [...flags, '--input-type=module', '--eval', source], {
    stdio: 'pipe',
  });
  const process_ = {
    stdout: '',
    stderr: '',
    code: undefined as number | null | undefined,
    /** Lets a script go on that waits for it. */
    goOn: () => child.stdin.write('\n'),
  };
  child.stdout.on('data', (text) => {
    process_.stdout += text;
  });
  child.stderr.on('data', (text) => {
    process_.stderr += text;
  });
  child.on('exit', (code, signal) => {
    process_.code = code ?? (signal === null ? null : 128);
  });
  return process_;
}

describe('calls that nobody waits for', () => {
  const all = `
    client.pubsub('t').publish(1);
    client.pubsub('t').clearRetained();
    client.queue('q').push(1);
    client.queue('q').add(1, { jobId: 'k' });
    client.queue('q').addMany([1, 2]);
    client.queue('q').create();
    client.queue('q').exists();
    client.queue('q').stats();
    client.queue('q').peek();
    client.queue('q').pause('in');
    client.queue('q').resume();
    client.queue('q').dlq.peek();
    client.queue('q').dlq.replayAll();
    client.queue('q').dlq.replayAll({ limit: 3 });
    client.queue('q').dlq.purge();
    client.stream('s').create();
    client.stream('s').publish(1);
    client.stream('s').append(1);
    client.stream('s').appendMany([1, 2]);
    client.stream('s').read();
    client.stream('s').info();
    client.stream('s').groups();
    client.store.map.set('k', 1);
    client.store.map.setMany({ k: 1 });
    client.store.map.get('k');
    client.store.map.getMany(['k']);
    client.store.map.getSet('k', 1);
    client.store.map.incr('n');
    client.store.map.has('k');
    client.store.map.expire('k', 5);
    client.store.map.persist('k');
    client.store.map.ttl('k');
    client.store.map.update('k', (n) => n + 1);
    client.store.map.del('x');
    client.store.limiter('l', { max: 1, windowMs: 1000 }).take('a');
    client.store.limiter('l', { max: 1, windowMs: 1000 }).peek('a');
    client.store.lock('l');
    client.command(['PING']);
    client.ping();
    client.info();`;

  it('leave the process alone when the server goes and comes', async () => {
    const child = run(`
      await client.queue('work').push(1);
      await client.queue('slow', { schema: { '~standard': { validate: async (value) => ({ value }) } } }).push(1);
      let over = false;
      client.on('reconnect', () => { over = true; });
      await client.queue('work').subscribe((_, message) => { message.extend(1000); message.ack(); });
      say('ready');
      const slow = client.queue('slow', { schema: { '~standard': { validate: async (value) => ({ value }) } } });
      while (!over) {
        ${all}
        slow.push(1);
        client.queue('work').push(1);
        await pause(1);
      }
      ${all}
      await client.close();
      ${all}
      say('done');`);
    await until('the beginning', () => child.stdout.includes('ready'));
    await server.kill();
    await server.start();
    await until('the end', () => child.code !== undefined, 20_000);
    expect(child.stderr).toMatch(/connected again; \d+ calls? rejected meanwhile/);
    expect(child.stderr).not.toMatch(/at async|node:internal|Unhandled/);
    expect([child.stdout.trim().split('\n').at(-1), child.code]).toEqual(['done', 0]);
  });

  it('leave it alone when the server hangs, and the log says so', async () => {
    const child = run(`
      const hanging = await NexoClient.connect({ ...options, requestTimeoutMs: 100 });
      say('ready');
      await toGoOn();
      for (let i = 0; i < 3; i++) hanging.store.map.set('k', i);
      await pause(400);
      say('alive');
      hanging.disconnect();
      client.disconnect();`);
    await until('the beginning', () => child.stdout.includes('ready'));
    server.hang();
    child.goOn();
    await until('the end', () => child.code !== undefined);
    server.goOn();
    expect([child.stdout, child.code]).toEqual(['ready\nalive\n', 0]);
    expect(child.stderr).toMatch(/(call|calls) without an answer within 100 ms: rejected/);
  });

  it.each([
    [
      'the server refuses',
      "await client.queue('full').create({ maxLength: 1 }); await client.queue('full').push(1); client.queue('full').push(2);",
    ],
    ['cannot be made', "client.store.map.set('k', () => 1);"],
    ['is a subscription without a connection', "client.connection.socket.destroy(); client.queue('q').subscribe(() => {});"],
  ])('are not hushed up when one %s', async (_, script) => {
    const child = run(`${script} await pause(500); say('went on'); await client.close();`);
    await until('the end', () => child.code !== undefined);
    expect(child.code).toBe(1);
    expect(child.stdout).toBe('');
  });

  it('are told to those who do wait', async () => {
    const client = await server.connect({ reconnect: { minMs: 50, maxMs: 50 } });
    await client.queue('q').create();
    const waiting = client.command(['QPOP', 'q', 'BLOCK', '5000']);
    const sent = client.store.map.update('k', () => 1);
    client.connection.socket.destroy();
    await expect(waiting).rejects.toThrow(ConnectionClosedError);
    await expect(sent).rejects.toThrow(ConnectionClosedError);
    await expect(client.pubsub('t').publish(1)).rejects.toThrow(NotConnectedError);
    client.disconnect();
  });
});

describe('a logger', () => {
  it('may be a function, or throw', async () => {
    const child = run(`
      const lines = [];
      const logger = (level, text) => { lines.push(level + ' ' + text); if (lines.length > 1) throw undefined; };
      const own = await NexoClient.connect({ ...options, logger });
      own.connection.socket.destroy();
      own.connection.log('error', 'something');
      while (!own.isConnected) await pause(5);
      await own.close();
      await client.close();
      say(JSON.stringify(lines));`);
    await until('the end', () => child.code !== undefined);
    const lines = JSON.parse(child.stdout) as string[];
    expect(lines[0]).toMatch(/^warn nexo: disconnected/);
    expect(lines[1]).toBe('error nexo: something');
    expect(child.stderr).toContain('nexo: the logger failed: undefined; it was told: something');
    expect(child.code).toBe(0);
  });

  const wrong: [string, NexoOptions, string][] = [
    ['a logger without its methods', { logger: { info: () => {} } as never }, 'logger is neither a function nor an object'],
    ['null as logger', { logger: null as never }, 'logger is neither a function nor an object'],
    ['a level that is none', { logLevel: 'DEBUG' as never }, 'logLevel is DEBUG, which is none of debug, info, warn'],
    ['another offline', { offline: 'wait' as never }, 'offline is wait, which is none of reject, queue'],
    ['another codec', { codec: 'xml' as never }, 'codec is xml, which is none of auto, json'],
    ['a time limit that is none', { requestTimeoutMs: Number.NaN }, 'requestTimeoutMs is NaN, not a number from 0 on'],
    ['a delay that is none', { reconnect: { minMs: -1 } }, 'reconnect.minMs is -1, not a number from 0 on'],
  ];
  it.each(wrong)('and options are checked by connect(): %s', async (_, options, message) => {
    const connecting = server.connect(options);
    await expect(connecting).rejects.toThrow(ValidationError);
    await expect(connecting).rejects.toThrow(message);
  });
});

it('what a handler hangs on the signal of its job goes with the job', async () => {
  const child = run(
    `
    const q = client.queue('q');
    const count = 2000;
    for (let i = 0; i < count; i += 1000) await q.addMany(Array.from({ length: 1000 }, (_, n) => i + n));
    let left = 0;
    const registry = new FinalizationRegistry(() => { left++; });
    let handled = 0;
    let kept;
    const subscription = await q.subscribe((n, message) => {
      const held = { bytes: Buffer.alloc(1000), message };
      registry.register(held, n);
      message.signal.addEventListener('abort', () => held.bytes.fill(1));
      handled++;
    });
    while ((await q.stats()).acked < count) await pause(10);
    for (let i = 0; i < 20 && left < count - 10; i++) { globalThis.gc(); await pause(20); }
    say(String(left));
    await subscription.stop();
    await client.close();`,
    ['--expose-gc'],
  );
  await until('the end', () => child.code !== undefined, 20_000);
  expect(Number(child.stdout)).toBeGreaterThanOrEqual(1990);
});

it('the signal of a job is aborted with the connection that holds it, and only then', async () => {
  const client = await server.connect({ reconnect: { minMs: 50, maxMs: 50 } });
  const q = client.queue<number>('q');
  await q.addMany([1, 2]);
  const signals = new Map<number, AbortSignal[]>();
  let finish: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const late: (() => AbortSignal)[] = [];
  const subscription = await q.subscribe(async (n, message) => {
    if (n === 1) {
      signals.set(1, [message.signal]);
      late.push(() => message.signal);
      return;
    }
    signals.set(2, [...(signals.get(2) ?? []), message.signal]);
    expect(message.signal).toBe(message.signal);
    await finished;
  });
  await until('the first to be acknowledged', async () => (await q.stats()).acked === 1 && signals.has(2));
  (subscription as unknown as { socket: { destroy(): void } }).socket.destroy();
  await until('the second to come again', () => signals.get(2)?.length === 2);
  expect(signals.get(2)?.map(({ aborted }) => aborted)).toEqual([true, false]);
  expect(signals.get(1)?.[0]?.aborted).toBe(false); // it was done long before
  expect(late[0]?.().aborted).toBe(false);
  finish();
  await subscription.stop();
  await client.close();
});
