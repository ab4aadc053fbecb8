// What bench/run runs: `bench/run [rounds] [part ...]`, the parts being store, queue and consume. Each line is the median of
// some rounds; what is compared takes turns, so that a busy machine slows both. The servers are started here, on free ports,
// with their data in a temporary directory. OTHER_BUILD is the directory of another build of this package, if one is to
// be compared with this one.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createClient } from '@redis/client';
import { Queue, Worker } from 'bullmq';
import { NexoClient } from '../dist/esm/index.js';

const rounds = Number(process.argv[2] ?? 5);
const parts = process.argv.length > 3 ? process.argv.slice(3) : ['store', 'queue', 'consume'];
const sets = 40_000;
const jobs = 10_000;
const entries = 8_000;
const payload = { to: 'somebody@example.com', subject: 'hello', body: 'x'.repeat(100) };
const data = mkdtempSync(join(tmpdir(), 'nexo-bench-'));
const servers = [];

async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

async function start(binary, flags) {
  const port = await freePort();
  const child = spawn(binary, flags(port).map(String), { stdio: ['ignore', 'ignore', 'pipe'] });
  servers.push(child);
  let log = '';
  child.stderr.on('data', (text) => {
    log += text;
  });
  for (let attempt = 0; ; attempt++) {
    const client = createClient({ socket: { host: '127.0.0.1', port, reconnectStrategy: false } });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.ping();
      await client.close();
      return port;
    } catch (error) {
      if (attempt === 200 || child.exitCode !== null) throw new Error(`${binary} does not start: ${error}\n${log}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Operations a second, with so many callers that each wait for their answer. */
async function rate(count, callers, call) {
  let next = 0;
  const caller = async () => {
    while (next < count) await call(next++);
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: callers }, caller));
  return count / ((performance.now() - began) / 1000);
}

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
const perSecond = (n) => `${Math.round(n).toLocaleString('en')}/s`;

/** Measures things by turns, and prints each with the ratio of the first to it. */
async function compare(title, ...contestants) {
  for (const { run } of contestants) await run();
  const results = contestants.map(() => []);
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? contestants : contestants.toReversed();
    for (const contestant of order) results[contestants.indexOf(contestant)].push(await contestant.run());
  }
  console.log(title);
  for (const [i, { name }] of contestants.entries()) {
    const ratio = median(results[0].map((r, round) => r / results[i][round]));
    console.log(
      `  ${name.padEnd(48)} ${perSecond(median(results[i])).padStart(12)}${i === 0 ? '' : `   ratio ${ratio.toFixed(2)}`}`,
    );
  }
}

const startNexo = (name, fsync) =>
  start(process.env.NEXO_BIN, (port) => [
    ...['server', '--port', port, '--dashboard=false', '--fsync', fsync, '--data', join(data, name)],
  ]);

async function measureStore(port) {
  const client = await NexoClient.connect({ host: '127.0.0.1', port });
  const connectPlain = async (options) => {
    const plain = createClient({ socket: { host: '127.0.0.1', port }, ...options });
    plain.on('error', () => {});
    return plain.connect();
  };
  const limited = await connectPlain({});
  const unlimited = await connectPlain({ commandOptions: { timeout: 0 } });
  const text = JSON.stringify(payload);
  const key = (i) => `key:${i % 1000}`;
  for (const callers of [50, 100]) {
    const measure = (call) => () => rate(sets, callers, call);
    await compare(
      `store: one connection, ${callers} callers, an object of ${text.length} bytes as JSON`,
      { name: 'client.store.map.set(object)', run: measure((i) => client.store.map.set(key(i), payload)) },
      { name: '@redis/client set(JSON.stringify(object))', run: measure((i) => limited.set(key(i), JSON.stringify(payload))) },
      { name: 'the same without time limits', run: measure((i) => unlimited.set(key(i), JSON.stringify(payload))) },
    );
    const words = 'x'.repeat(text.length);
    await compare(
      `store: one connection, ${callers} callers, a text of ${text.length} bytes`,
      { name: 'client.store.map.set(text)', run: measure((i) => client.store.map.set(key(i), words)) },
      { name: '@redis/client set(text)', run: measure((i) => limited.set(key(i), words)) },
      { name: 'the same without time limits', run: measure((i) => unlimited.set(key(i), words)) },
    );
  }
  await Promise.all([limited.close(), unlimited.close(), client.close()]);
}

async function measureQueue(port, redis) {
  const client = await NexoClient.connect({ host: '127.0.0.1', port });
  const queue = await client.queue('bench').create();
  const nexoRun = async () => {
    let handled = 0;
    let all;
    const done = new Promise((resolve) => {
      all = resolve;
    });
    const subscription = await queue.subscribe(() => void (++handled === jobs && all()), { concurrency: 50, batchSize: 500 });
    const began = performance.now();
    await rate(jobs, 100, () => queue.push(payload));
    await done;
    await subscription.stop(); // the last jobs are acknowledged
    return jobs / ((performance.now() - began) / 1000);
  };
  const connection = { host: '127.0.0.1', port: redis, maxRetriesPerRequest: null };
  const bull = new Queue('bench', { connection });
  const bullRun = async () => {
    let completed = 0;
    let all;
    const done = new Promise((resolve) => {
      all = resolve;
    });
    const worker = new Worker('bench', async () => {}, { connection, concurrency: 50, removeOnComplete: { count: 0 } });
    worker.on('completed', () => void (++completed === jobs && all()));
    worker.on('error', (error) => console.error(error));
    await worker.waitUntilReady();
    const began = performance.now();
    await rate(jobs, 100, () => bull.add('mail', payload));
    await done;
    const seconds = (performance.now() - began) / 1000;
    await worker.close();
    return jobs / seconds;
  };
  await compare(
    `queue: ${jobs.toLocaleString('en')} jobs, push to acknowledgement; Nexo with an fsync before each answer, Redis with one a second`,
    { name: 'client.queue, 50 handlers', run: nexoRun },
    { name: 'BullMQ on redis-server, 50 handlers', run: bullRun },
  );
  await bull.close();
  await client.close();
}

/** What is there already is consumed with the options that a subscription has by default, to the last acknowledgement. */
async function measureConsumers(port, fsync) {
  const builds = [['this build', NexoClient]];
  if (process.env.OTHER_BUILD !== undefined) {
    const other = await import(pathToFileURL(join(process.env.OTHER_BUILD, 'dist/esm/index.js')));
    builds.push(['the build in OTHER_BUILD', other.NexoClient]);
  }
  const clients = await Promise.all(builds.map(([, Client]) => Client.connect({ host: '127.0.0.1', port })));
  let serial = 0;
  /** Runs from the first request for messages until all of them are acknowledged. */
  const consume = async (count, fill, subscribe) => {
    await fill();
    let handled = 0;
    let all;
    const done = new Promise((resolve) => {
      all = resolve;
    });
    const began = performance.now();
    const subscription = await subscribe(() => void (++handled === count && all()));
    await done;
    await subscription.stop();
    return count / ((performance.now() - began) / 1000);
  };
  const batches = (count) => Array.from({ length: count / 1000 }, () => Array(1000).fill(payload));
  const contest = (name, run) => builds.map(([build], i) => ({ name: `${name}, ${build}`, run: () => run(clients[i]) }));
  await compare(
    `stream: ${entries.toLocaleString('en')} entries, one handler, fsync ${fsync}`,
    ...contest('consume', async (client) => {
      const stream = await client.stream(`consume-${++serial}`).create();
      const fill = () => Promise.all(batches(entries).map((batch) => stream.appendMany(batch)));
      const rate = await consume(entries, fill, (callback) => stream.subscribe('g', callback));
      const { pending, lag } = await stream.group('g');
      if (pending + lag !== 0) throw new Error(`${pending} entries are pending and ${lag} to come`);
      await stream.delete();
      return rate;
    }),
  );
  await compare(
    `queue: ${jobs.toLocaleString('en')} jobs, five handlers, fsync ${fsync}`,
    ...contest('drain', async (client) => {
      const queue = await client.queue(`drain-${++serial}`).create();
      const fill = () => Promise.all(batches(jobs).map((batch) => queue.addMany(batch)));
      const rate = await consume(jobs, fill, (callback) => queue.subscribe(callback));
      const { ready, inflight, acked } = await queue.stats();
      if (ready + inflight !== 0 || acked !== jobs) throw new Error(`${acked} of ${jobs} jobs are acknowledged`);
      await queue.delete();
      return rate;
    }),
  );
  await Promise.all(clients.map((client) => client.close()));
}

try {
  console.log(`node ${process.version}, ${cpus().length} cores, ${cpus()[0].model}`);
  const always = await startNexo('always', 'always');
  if (parts.includes('store')) await measureStore(always);
  if (parts.includes('queue')) {
    const redis = await start('redis-server', (port) => [
      ...['--port', port, '--save', '', '--appendonly', 'yes', '--appendfsync', 'everysec', '--dir', data],
    ]);
    await measureQueue(always, redis);
  }
  if (parts.includes('consume')) {
    await measureConsumers(always, 'always');
    await measureConsumers(await startNexo('interval', 'interval'), 'interval');
  }
} finally {
  for (const child of servers) child.kill('SIGKILL');
  await Promise.all(
    servers.map((child) => child.exitCode ?? child.signalCode ?? new Promise((resolve) => child.once('exit', resolve))),
  );
  rmSync(data, { recursive: true, force: true });
}
