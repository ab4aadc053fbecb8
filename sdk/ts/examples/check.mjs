// Runs the examples against a server of their own and checks what they do. NEXO_BIN is the server's binary.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NexoClient } from '@nexobroker/client';

const binary = process.env.NEXO_BIN;
if (binary === undefined) throw new Error('NEXO_BIN must name the nexo binary');

async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** Waits up to 20 s until attempt answers something true, and answers that. */
async function until(what, attempt) {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(20)) {
    const answer = await attempt();
    if (answer) return answer;
  }
  throw new Error(`waited 20 s for ${what}\n${programs.map(({ name, output }) => `${name}: ${output}`).join('\n')}`);
}

const programs = [];

class Program {
  output = '';

  constructor(name, command, args, env = {}) {
    this.name = name;
    this.child = spawn(command, args, { env: { ...process.env, ...env } });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.on('data', (text) => {
        this.output += text;
      });
    }
    this.exit = new Promise((resolve) => this.child.once('exit', (code, signal) => resolve(code ?? signal)));
    programs.push(this);
  }

  async says(text) {
    await until(`"${text}" of ${this.name}`, () => this.output.includes(text));
  }

  /** Ends by itself, with status 0. */
  async ends() {
    const limit = new AbortController();
    const late = sleep(20_000, 'nothing after 20 s', { signal: limit.signal }).catch(() => undefined);
    assert.equal(await Promise.race([this.exit, late]), 0, `${this.name} ended otherwise: ${this.output}`);
    limit.abort();
  }
}

const port = await freePort();
const data = mkdtempSync(join(tmpdir(), 'nexo-examples-'));
const env = { NEXO_URL: `nexo://127.0.0.1:${port}`, PORT: '0' };
const example = (name, ...args) =>
  new Program(name, process.execPath, [join(import.meta.dirname, `dist/${name}.js`), ...args], env);
let client;

try {
  new Program('nexo', binary, ['server', '--host', '127.0.0.1', '--port', String(port), '--dashboard-port', '0', '--data', data]);
  client = await until('the server', () => NexoClient.connect(env.NEXO_URL).catch(() => undefined));

  // The shop: a session, its audit trail, one mail for two logins, and the limit.
  const shop = example('shop');
  await shop.says('listening on ');
  const url = `http://127.0.0.1:${/listening on (\d+)/.exec(shop.output)[1]}`;
  const login = () =>
    fetch(`${url}/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"user":"max@example.com"}',
    });
  const first = await login();
  assert.equal(first.status, 201);
  const { token } = await first.json();
  const headers = { authorization: `Bearer ${token}` };
  assert.equal((await login()).status, 201);
  assert.equal((await (await fetch(`${url}/me`, { headers })).json()).user, 'max@example.com');
  const left = await client.store.map.ttl(`session:${token}`);
  assert.ok(left > 1790 && left <= 1800, `the session ends in ${left} s`);
  assert.equal((await fetch(`${url}/logout`, { method: 'POST', headers })).status, 204);
  assert.equal((await fetch(`${url}/me`, { headers })).status, 401);
  const trail = await client.stream('audit').read();
  assert.deepEqual(
    trail.map((entry) => `${entry.data.type} ${entry.data.user}`),
    ['login max@example.com', 'login max@example.com', 'logout max@example.com'],
  );
  const mails = client.queue('mails');
  assert.equal((await mails.stats()).ready, 1);
  const statuses = [];
  for (let request = 0; request < 30; request++) statuses.push((await fetch(`${url}/me`)).status);
  assert.ok(statuses.includes(429), `the limit let 30 requests pass: ${statuses}`);
  shop.child.kill('SIGTERM');
  await shop.ends();

  // The worker: it is told to stop while it holds more jobs than it handles at a time, and loses none.
  await mails.addMany(Array.from({ length: 20 }, (_, number) => ({ to: `user${number}@example.com`, subject: 'news' })));
  const worker = example('worker');
  await worker.says('begin ');
  worker.child.kill('SIGTERM');
  await worker.ends();
  const begun = worker.output.match(/^begin /gm).length;
  assert.equal(worker.output.match(/^sent /gm)?.length, begun, worker.output);
  const { ready, inflight, acked, delayed } = await mails.stats();
  assert.deepEqual({ acked, left: ready + delayed, inflight }, { acked: begun, left: 21 - begun, inflight: 0 });

  // The chat: the last line waits for who comes later, and lines go to the others only.
  const ann = example('chat', 'ann', 'kitchen');
  await ann.says('you are ann');
  ann.child.stdin.write('tea is ready\n');
  await until('the retained line', async () => (await client.command(['NRETAINED', 'chat/#']))[1].length === 1);
  const bob = example('chat', 'bob', '#');
  await bob.says('[kitchen] ann: tea is ready');
  const carl = example('chat', 'carl', 'kitchen');
  await carl.says('[kitchen] ann: tea is ready');
  carl.child.stdin.write('coming\n');
  await ann.says('[kitchen] carl: coming');
  await bob.says('[kitchen] carl: coming');
  assert.ok(!ann.output.includes('ann: tea'), 'ann hears herself');
  for (const person of [ann, bob, carl]) {
    person.child.stdin.end();
    await person.ends();
  }
  console.log('examples: shop, worker and chat do what they say');
} finally {
  client?.disconnect();
  for (const { child } of programs) child.kill('SIGKILL');
  await Promise.all(programs.map(({ exit }) => exit));
  rmSync(data, { recursive: true, force: true });
}
