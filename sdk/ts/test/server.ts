import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { NexoClient, type NexoOptions } from '../src/index.js';

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** A real server on a port and in a data directory of its own. NEXO_BIN is its binary. */
export class TestServer {
  readonly port: number;
  readonly #data: string;
  readonly #flags: readonly string[];
  readonly #options: NexoOptions;
  #process: ChildProcess | undefined;
  log = '';

  private constructor(port: number, flags: readonly string[], options: NexoOptions) {
    this.port = port;
    this.#flags = flags;
    this.#options = options;
    this.#data = mkdtempSync(join(tmpdir(), 'nexo-sdk-'));
  }

  /** Starts a server with some flags; options are what a client needs to get in. */
  static async start(flags: readonly string[] = [], options: NexoOptions = {}): Promise<TestServer> {
    const server = new TestServer(await freePort(), flags, options);
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const child = this.launch();
    const deadline = Date.now() + 20_000;
    for (;;) {
      try {
        const client = await this.connect();
        await client.ping();
        client.disconnect();
        return;
      } catch (error) {
        if (Date.now() > deadline || child.exitCode !== null) {
          throw new Error(`the server does not start: ${error}\n${this.log}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  /** Runs the binary and does not wait until it serves. */
  launch(): ChildProcess {
    const binary = process.env.NEXO_BIN;
    if (binary === undefined) {
      throw new Error('NEXO_BIN must name the nexo binary');
    }
    const args = [
      'server',
      '--host',
      '127.0.0.1',
      '--port',
      String(this.port),
      '--dashboard-port',
      '0',
      '--data',
      this.#data,
      ...this.#flags,
    ];
    const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (text: Buffer) => {
        this.log += text.toString();
      });
    }
    return child;
  }

  /**
   * Makes the next life of a killed server wait while it loads its logs, by a pipe that nobody writes to in place of a file;
   * the returned function lets it go on.
   */
  holdLoading(): () => void {
    const path = join(this.#data, 'stream', 'MANIFEST');
    const content = readFileSync(path);
    renameSync(path, `${path}.kept`);
    execFileSync('mkfifo', [path]);
    return () => {
      const pipe = openSync(path, 'r+');
      renameSync(`${path}.kept`, path);
      writeSync(pipe, content);
      closeSync(pipe);
    };
  }

  /** kill -9, and the end of the process. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) {
      return;
    }
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  /** Lets the server hang, with its connections open, until it may go on. It hangs when this returns. */
  hang(): void {
    this.#process?.kill('SIGSTOP');
    const tasks = `/proc/${this.#process?.pid}/task`;
    const isStopped = (task: string): boolean => {
      const stat = join(tasks, task, 'stat');
      return !existsSync(stat) || /\) [Tt] /.test(readFileSync(stat, 'utf8'));
    };
    while (existsSync(tasks) && !readdirSync(tasks).every(isStopped)); // a signal takes its time on a busy machine
  }

  goOn(): void {
    this.#process?.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#data, { recursive: true, force: true });
  }

  connect(options: NexoOptions = {}): Promise<NexoClient> {
    return NexoClient.connect({ host: '127.0.0.1', port: this.port, logLevel: 'silent', ...this.#options, ...options });
  }
}

/**
 * Waits for a condition, and tells what it waited for when it does not come. It counts its looks, not the time: a busy machine may
 * let this process stand still between two.
 */
export async function until(what: string, condition: () => boolean | Promise<boolean>, milliseconds = 10_000): Promise<void> {
  for (let looks = 0; !(await condition()); looks++) {
    if (looks > milliseconds / 5) {
      throw new Error(`waited ${milliseconds} ms for ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// What the tests of a file work with, by one of the two functions below.
export let server: TestServer;
export let client: NexoClient;
export let name: string;

async function begin(options?: NexoOptions): Promise<void> {
  server = await TestServer.start();
  client = await server.connect(options);
}

async function end(): Promise<void> {
  client.disconnect();
  await server.stop();
}

/** One server for all tests of a file, with a name for each. */
export function serverForAll(): void {
  let serial = 0;
  beforeAll(() => begin());
  afterAll(end);
  beforeEach(() => {
    name = `test-${++serial}`;
  });
}

/** A server for each test. */
export function serverForEach(options?: NexoOptions): void {
  beforeEach(() => begin(options));
  afterEach(end);
}
