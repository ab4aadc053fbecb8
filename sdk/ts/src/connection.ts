import { EventEmitter } from 'node:events';
import { createClient, RESP_TYPES } from '@redis/client';
import { type Call, Calls } from './calls.js';
import { ConnectionClosedError, fromReply, NexoError, NotConnectedError } from './errors.js';
import type { CallEnd, CallOpts, LogLevel, NexoOptions, NexoTelemetry } from './options.js';

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

const noOptions: CallOpts = {};

/**
 * One connection that comes back by itself. A call that was under way when it broke is rejected and never repeated:
 * only the caller knows whether it may be done twice. Subscriptions come back with the connection.
 */
export class NexoConnection extends EventEmitter<{ connect: []; disconnect: [Error?]; reconnect: []; error: [Error] }> {
  readonly options: NexoOptions;
  readonly #client: Client;
  /** The same, with answers as Buffers. Options that are given with each command are copied with each command. */
  readonly #binary: Client;
  #ready = false;
  readonly #ended = new AbortController();
  #retry: NodeJS.Timeout | undefined;
  #attempt = 0;
  readonly #calls = new Calls();
  /** Calls that wait for a connection. */
  #unsent: { call: Call; run: () => Promise<unknown> }[] = [];
  #waiters: (() => void)[] = [];

  constructor(options: NexoOptions) {
    super();
    this.options = options;
    this.#client = makeClient(options);
    this.#binary = this.#client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }) as unknown as Client;
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
    return this.ended.aborted;
  }

  /** Aborted when the connection is closed for good. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Connects for the first time; a failure is the caller's. */
  async open(): Promise<void> {
    try {
      await this.#connect();
    } catch (error) {
      this.destroy();
      throw translate(error);
    }
    this.#ready = true;
    this.emit('connect');
  }

  /** Connects the client beneath, which may succeed although it was destroyed meanwhile. */
  async #connect(): Promise<void> {
    try {
      await this.#client.connect();
      // A server that starts opens its port before it has loaded its logs: until then this is answered with LOADING.
      if (!this.isClosed) {
        await this.#client.sendCommand(['PING']);
      }
    } catch (error) {
      if (this.#client.isOpen) {
        this.#client.destroy();
      }
      throw this.isClosed ? closed() : error;
    }
    if (this.isClosed) {
      this.#client.destroy();
      throw closed();
    }
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
    this.#calls.failAll(reason);
    this.emit('disconnect', error);
    if (!this.isClosed) {
      this.#attempt = 0;
      this.#reconnectLater();
    }
  }

  #reconnectLater(): void {
    const { minMs = 500, maxMs = 5000, maxAttempts = Number.POSITIVE_INFINITY } = this.options.reconnect ?? {};
    if (this.isClosed) {
      return;
    }
    if (this.#attempt >= maxAttempts) {
      this.destroy();
      this.emit('error', new NotConnectedError(`gave up after ${this.#attempt} attempts to reconnect`));
      return;
    }
    const delay = Math.min(maxMs, minMs * 2 ** this.#attempt);
    this.#attempt++;
    this.#retry = setTimeout(() => void this.#reconnect(), delay * (1 + Math.random() / 2));
  }

  async #reconnect(): Promise<void> {
    try {
      if (this.#client.isOpen) {
        this.#client.destroy();
      }
      await this.#connect();
    } catch (error) {
      if (!this.isClosed) {
        this.log('warn', `attempt ${this.#attempt} to reconnect: ${translate(error).message}`);
      }
      this.#reconnectLater();
      return;
    }
    this.#ready = true;
    this.#attempt = 0;
    this.emit('reconnect');
    for (const { call, run } of this.#unsent.splice(0)) {
      if (call.isPending) dispatch(call, run);
    }
    for (const go of this.#waiters.splice(0)) {
      go();
    }
  }

  /** Resolves when there is a connection, or false once the connection was closed for good. */
  async connected(): Promise<boolean> {
    while (!this.#ready && !this.isClosed) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
    return this.#ready;
  }

  /** Sends a command; bulk strings are answered as Buffers. */
  send<R = Reply>(args: readonly Arg[], o: CallOpts = noOptions): Promise<R> {
    return this.#call(args, o, () => this.#binary.sendCommand<R>(args));
  }

  /** Sends a command whose answer is text: bulk strings are strings. */
  text<R = Reply>(args: readonly Arg[], o: CallOpts = noOptions): Promise<R> {
    return this.#call(args, o, () => this.#client.sendCommand<R>(args));
  }

  /** Runs a call of the client beneath with this connection's time limit, telemetry and errors. */
  guard<R>(args: readonly Arg[], run: () => Promise<R>, o: CallOpts = noOptions): Promise<R> {
    return this.#call(args, o, run);
  }

  #call<R>(args: readonly Arg[], o: CallOpts, run: () => Promise<R>): Promise<R> {
    if (!this.#ready && (this.isClosed || this.options.offline !== 'queue')) {
      return Promise.reject(this.isClosed ? closed() : new NotConnectedError());
    }
    if (o.signal?.aborted) {
      return Promise.reject(o.signal.reason as Error);
    }
    const timeoutMs = o.timeoutMs ?? this.options.requestTimeoutMs ?? 15_000;
    const limitMs = timeoutMs > 0 && Number.isFinite(timeoutMs) ? timeoutMs : 0;
    const ended = this.options.telemetry === undefined ? undefined : this.#observe(this.options.telemetry, args);
    return new Promise<R>((resolve, reject) => {
      const call = this.#calls.begin(args, limitMs, resolve, reject, o.signal, ended);
      if (this.#ready) {
        dispatch(call, run);
      } else {
        this.#unsent.push({ call, run });
      }
    });
  }

  /** Tells telemetry of a call. What goes wrong there is no matter of the call. */
  #observe(telemetry: NexoTelemetry, args: readonly Arg[]): ((end: CallEnd) => void) | undefined {
    const { host = 'localhost', port = 7654 } = this.options;
    try {
      const ended = telemetry.call?.({ command: String(args[0]), args, host, port });
      return (end) => {
        try {
          ended?.(end);
        } catch (error) {
          this.log('error', `telemetry: ${(error as Error).stack}`);
        }
      };
    } catch (error) {
      this.log('error', `telemetry: ${(error as Error).stack}`);
      return undefined;
    }
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
    if (this.isClosed) {
      return;
    }
    this.#ended.abort();
    clearTimeout(this.#retry);
    if (this.#client.isOpen) {
      this.#client.destroy();
    }
    this.#lost();
    this.#unsent = [];
    this.#calls.failAll(closed());
    for (const go of this.#waiters.splice(0)) {
      go();
    }
  }

  /** Waits for what is under way, then ends. */
  async close(): Promise<void> {
    // A call that was made just before may still have to encode its value.
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#ready) {
      await this.#calls.drained();
    }
    this.destroy();
  }
}

function closed(): NotConnectedError {
  return new NotConnectedError('the client was closed');
}

/** Sends a call; its answer settles it. */
function dispatch(call: Call, run: () => Promise<unknown>): void {
  run().then(
    (reply) => call.answer(reply),
    (error: unknown) => call.fail(translate(error)),
  );
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
