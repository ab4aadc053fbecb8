import { EventEmitter } from 'node:events';
import { createClient, RESP_TYPES } from '@redis/client';
import { ConnectionClosedError, fromReply, NexoError, NotConnectedError, RequestTimeoutError } from './errors.js';
import type { CallOpts, LogLevel, NexoOptions } from './options.js';

export type Arg = string | Buffer;

/** What a command may answer. Bulk strings are Buffers; maps are objects in text replies. */
export type Reply = Buffer | string | number | bigint | boolean | null | Reply[] | { [key: string]: Reply };

type Client = ReturnType<typeof makeClient>;

function makeClient(o: NexoOptions) {
  const tls = o.tls === undefined || o.tls === false ? {} : { tls: true as const, ...(o.tls === true ? {} : o.tls) };
  return createClient({
    RESP: 3,
    username: o.username,
    password: o.password,
    name: o.name,
    disableOfflineQueue: true,
    commandOptions: { timeout: 0 }, // calls have a time limit of ours, which holds after they were written, too
    maintNotifications: 'disabled',
    socket: { host: o.host ?? 'localhost', port: o.port ?? 7654, reconnectStrategy: false, noDelay: true, ...tls } as never,
  });
}

const bulkAsBuffer = { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } };

/**
 * One connection that comes back by itself. A call that was under way when it broke is rejected and never repeated:
 * only the caller knows whether it may be done twice. Subscriptions come back with the connection.
 */
export class NexoConnection extends EventEmitter<{ connect: []; disconnect: [Error?]; reconnect: []; error: [Error] }> {
  readonly options: NexoOptions;
  readonly #client: Client;
  #ready = false;
  #closed = false;
  #retry: NodeJS.Timeout | undefined;
  #attempt = 0;
  readonly #pending = new Set<(error: Error) => void>();
  #waiters: (() => void)[] = [];
  #drained: (() => void) | undefined;

  constructor(options: NexoOptions) {
    super();
    this.options = options;
    this.#client = makeClient(options);
    // The client tells of a broken socket by an error; without a listener it would end the process.
    this.#client.on('error', (error: Error) => this.#lost(error));
    this.#client.on('end', () => this.#lost());
    this.#client.on('terminated', () => this.#lost());
  }

  /** The client of @redis/client beneath. */
  get redis(): Client {
    return this.#client;
  }

  get isConnected(): boolean {
    return this.#ready;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Connects for the first time; a failure is the caller's. */
  async open(): Promise<void> {
    try {
      await this.#client.connect();
    } catch (error) {
      this.#closed = true;
      this.#client.destroy();
      throw translate(error);
    }
    this.#ready = true;
    this.emit('connect');
  }

  /** For tests of what a broken network does: `socket.destroy()` cuts the connection, which then comes back. */
  readonly socket = {
    destroy: (): void => {
      if (this.#ready) {
        this.#client.destroy();
        this.#lost(new ConnectionClosedError('the socket was destroyed'));
      }
    },
  };

  #lost(error?: Error): void {
    if (!this.#ready) {
      return;
    }
    this.#ready = false;
    const reason = new ConnectionClosedError(undefined, error === undefined ? undefined : { cause: error });
    for (const reject of [...this.#pending]) {
      reject(reason);
    }
    this.emit('disconnect', error);
    if (!this.#closed) {
      this.#attempt = 0;
      this.#reconnectLater();
    }
  }

  #reconnectLater(): void {
    const { minMs = 500, maxMs = 5000, maxAttempts = Number.POSITIVE_INFINITY } = this.options.reconnect ?? {};
    if (this.#closed || this.#attempt >= maxAttempts) {
      if (!this.#closed) {
        this.destroy();
        this.emit('error', new NotConnectedError(`gave up after ${this.#attempt} attempts to reconnect`));
      }
      return;
    }
    const delay = Math.min(maxMs, minMs * 2 ** this.#attempt);
    this.#attempt++;
    this.#retry = setTimeout(() => void this.#reconnect(), delay * (1 + Math.random() / 2));
  }

  async #reconnect(): Promise<void> {
    if (this.#closed) {
      return;
    }
    try {
      if (this.#client.isOpen) {
        this.#client.destroy();
      }
      await this.#client.connect();
    } catch {
      this.#reconnectLater();
      return;
    }
    if (this.#closed) {
      this.#client.destroy();
      return;
    }
    this.#ready = true;
    this.#attempt = 0;
    this.emit('reconnect');
    for (const go of this.#waiters.splice(0)) {
      go();
    }
  }

  /** Resolves when there is a connection, or false once the connection was closed for good. */
  async connected(): Promise<boolean> {
    while (!this.#ready && !this.#closed) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
    return this.#ready;
  }

  /** Sends a command; bulk strings are answered as Buffers. */
  send<R = Reply>(args: readonly Arg[], o: CallOpts = {}): Promise<R> {
    return this.#call(args, o, () => this.#client.sendCommand<R>(args, bulkAsBuffer as never));
  }

  /** Sends a command whose answer is text: bulk strings are strings. */
  text<R = Reply>(args: readonly Arg[], o: CallOpts = {}): Promise<R> {
    return this.#call(args, o, () => this.#client.sendCommand<R>(args));
  }

  #call<R>(args: readonly Arg[], o: CallOpts, run: () => Promise<R>): Promise<R> {
    if (!this.#ready) {
      return this.#offline(args, o, run);
    }
    const timeoutMs = o.timeoutMs ?? this.options.requestTimeoutMs ?? 15_000;
    const telemetry = this.options.telemetry;
    const began = telemetry === undefined ? 0 : performance.now();
    return new Promise<R>((resolve, reject) => {
      const { signal } = o;
      if (signal?.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const finish = (error?: Error): void => {
        this.#pending.delete(fail);
        if (this.#pending.size === 0) this.#drained?.();
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        telemetry?.call?.({ command: String(args[0]), milliseconds: performance.now() - began, ...(error ? { error } : {}) });
      };
      const fail = (error: Error): void => {
        finish(error);
        reject(error);
      };
      const abort = (): void => fail(signal?.reason as Error);
      const timer =
        timeoutMs > 0 && Number.isFinite(timeoutMs)
          ? setTimeout(() => fail(new RequestTimeoutError(String(args[0]), timeoutMs)), timeoutMs)
          : undefined;
      this.#pending.add(fail);
      signal?.addEventListener('abort', abort, { once: true });
      run().then(
        (reply) => {
          finish();
          resolve(reply);
        },
        (error: unknown) => fail(translate(error)),
      );
    });
  }

  async #offline<R>(args: readonly Arg[], o: CallOpts, run: () => Promise<R>): Promise<R> {
    if (this.#closed || this.options.offline !== 'queue') {
      throw new NotConnectedError(this.#closed ? 'the client was closed' : undefined);
    }
    const timeoutMs = o.timeoutMs ?? this.options.requestTimeoutMs ?? 15_000;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new RequestTimeoutError(String(args[0]), timeoutMs)), timeoutMs);
      o.signal?.addEventListener('abort', () => reject(o.signal?.reason as Error), { once: true });
    });
    try {
      await Promise.race([this.connected(), late]);
    } finally {
      clearTimeout(timer);
    }
    if (!this.#ready) {
      throw new NotConnectedError();
    }
    return this.#call(args, o, run);
  }

  /** Runs a call of the client beneath with this connection's timeout and errors. */
  guard<R>(command: string, run: () => Promise<R>, o: CallOpts = {}): Promise<R> {
    return this.#call([command], o, run);
  }

  /** Tells the logger, when the level asks for it. */
  log(level: Exclude<LogLevel, 'silent'>, message: string): void {
    const levels: LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];
    if (levels.indexOf(level) >= levels.indexOf(this.options.logLevel ?? 'warn')) {
      (this.options.logger ?? console)[level](`nexo: ${message}`);
    }
  }

  /** Ends at once: what is under way is rejected. */
  destroy(): void {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    clearTimeout(this.#retry);
    if (this.#client.isOpen) {
      this.#client.destroy();
    }
    this.#lost();
    for (const go of this.#waiters.splice(0)) {
      go();
    }
  }

  /** Waits for what is under way, then ends. */
  async close(): Promise<void> {
    // A call that was made just before may still have to encode its value.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#pending.size > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    this.destroy();
  }
}

function translate(error: unknown): Error {
  if (error instanceof NexoError) {
    return error;
  }
  const e = error as Error;
  if (/ErrorReply/.test(e.constructor.name) || /^[A-Z]{2,}\w* /.test(e.message)) {
    return fromReply(e.message);
  }
  if (/Offline|ClientClosed/.test(e.constructor.name)) {
    return new NotConnectedError();
  }
  return new ConnectionClosedError(e.message || undefined, { cause: e });
}
