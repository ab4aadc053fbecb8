import { EventEmitter } from 'node:events';
import { createClient, RESP_TYPES } from '@redis/client';
import { type Call, Calls, forgive } from './calls.js';
import { ConnectionClosedError, fromReply, NexoError, NotConnectedError } from './errors.js';
import { type CallEnd, type CallOpts, type LogLevel, logLevels, type NexoOptions, type NexoTelemetry } from './options.js';
import { stackOf } from './thrown.js';
import { after, type Timer } from './timers.js';

export type Arg = string | Buffer;

/** What a command may answer. Bulk strings are Buffers; maps are objects in text replies. */
export type Reply = Buffer | string | number | bigint | boolean | null | Reply[] | { [key: string]: Reply };

/** The client of @redis/client beneath. */
export type RedisClient = ReturnType<typeof makeClient>;

function makeClient(o: NexoOptions) {
  const tls = o.tls === undefined || o.tls === false ? {} : { tls: true as const, ...(o.tls === true ? {} : o.tls) };
  return createClient({
    RESP: 3,
    username: o.username,
    password: o.password,
    name: o.name,
    database: o.database,
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
  readonly #client: RedisClient;
  /** The same, with answers as Buffers. Options that are given with each command are copied with each command. */
  readonly #binary: RedisClient;
  #ready = false;
  readonly #ended = new AbortController();
  #retry: Timer | undefined;
  #attempt = 0;
  readonly #calls = new Calls((count, ms) => this.log('warn', `${callCount(count)} without an answer within ${ms} ms: rejected`));
  /** Calls that were rejected since the connection was lost. */
  #rejected = 0;
  /** Calls that wait for a connection. */
  #unsent: { call: Call; run: () => Promise<unknown> }[] = [];
  #waiters: (() => void)[] = [];

  constructor(options: NexoOptions) {
    super();
    this.options = options;
    this.#client = makeClient(options);
    this.#binary = this.#client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }) as unknown as RedisClient;
    // The client tells of a broken socket by an error; without a listener it would end the process.
    this.#client.on('error', (error: Error) => this.#lost(error));
    this.#client.on('end', () => this.#lost());
    this.#client.on('terminated', () => this.#lost());
  }

  /** The client of @redis/client beneath. */
  get redis(): RedisClient {
    return this.#client;
  }

  get isConnected(): boolean {
    return this.#ready;
  }

  get isClosed(): boolean {
    return this.ended.aborted;
  }

  /** How many calls were rejected since the connection was lost the last time, because it was. */
  get rejectedCalls(): number {
    return this.#rejected;
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
      const failure = translate(error);
      if (!(failure instanceof ConnectionClosedError)) throw failure; // the server refused us, or we were closed
      const { host = 'localhost', port = 7654 } = this.options;
      throw new NotConnectedError(`cannot connect to ${host}:${port}: ${failure.message}`, { cause: error });
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
    this.#rejected = this.#calls.count;
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
    this.#retry = after(delay * (1 + Math.random() / 2), () => void this.#reconnect());
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

  /**
   * Sends a command; bulk strings are answered as Buffers. `read` makes the result of the answer. The Buffers among the
   * arguments are sent as they are at the end of the turn of the event loop; client.command() copies them.
   */
  send<R = Reply, V = R>(args: readonly Arg[], o?: CallOpts, read?: (reply: R) => V): Promise<V> {
    return this.#call(args, o, () => this.#binary.sendCommand<R>(args), read);
  }

  /** Sends a command whose answer is text: bulk strings are strings. */
  text<R = Reply, V = R>(args: readonly Arg[], o?: CallOpts, read?: (reply: R) => V): Promise<V> {
    return this.#call(args, o, () => this.#client.sendCommand<R>(args), read);
  }

  /** Runs a call of the client beneath with this connection's time limit, telemetry and errors. */
  guard<R>(args: readonly Arg[], run: () => Promise<R>, o?: CallOpts): Promise<R> {
    return this.#call(args, o, run);
  }

  #call<R, V>(args: readonly Arg[], o: CallOpts = noOptions, run: () => Promise<R>, read?: (reply: R) => V): Promise<V> {
    if (!this.#ready && (this.isClosed || this.options.offline !== 'queue')) {
      this.#rejected++;
      const error = this.isClosed ? closed() : new NotConnectedError();
      const rejected = Promise.reject(error);
      forgive(rejected, error);
      return rejected;
    }
    const { signal } = o;
    if (signal?.aborted) {
      return Promise.reject(signal.reason as Error);
    }
    const timeoutMs = o.timeoutMs ?? this.options.requestTimeoutMs ?? 15_000;
    const limitMs = timeoutMs > 0 && Number.isFinite(timeoutMs) ? timeoutMs : 0;
    const ended = this.options.telemetry === undefined ? undefined : this.#observe(this.options.telemetry, args);
    let call!: Call;
    const promise = new Promise<V>((resolve, reject) => {
      call = this.#calls.begin({ args, limitMs, signal, ended, read }, resolve, reject);
    });
    call.promise = promise;
    if (this.#ready) {
      dispatch(call, run);
    } else {
      this.#unsent.push({ call, run });
    }
    return promise;
  }

  /** What will become a call is waited for by close(), too. */
  preparing<V>(call: Promise<V>): Promise<V> {
    this.#calls.expect();
    return call.finally(() => this.#calls.settled());
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
          this.log('error', `telemetry: ${stackOf(error)}`);
        }
      };
    } catch (error) {
      this.log('error', `telemetry: ${stackOf(error)}`);
      return undefined;
    }
  }

  /** Tells the logger, when the level asks for it. A logger that throws changes nothing else. */
  log(level: Exclude<LogLevel, 'silent'>, message: string): void {
    if (logLevels.indexOf(level) < logLevels.indexOf(this.options.logLevel ?? 'warn')) {
      return;
    }
    const { logger = console } = this.options;
    const text = `nexo: ${message}`;
    try {
      if (typeof logger === 'function') logger(level, text);
      else logger[level](text);
    } catch (error) {
      console.error(`nexo: the logger failed: ${stackOf(error)}; it was told: ${message}`);
    }
  }

  /** Ends at once: what is under way is rejected. */
  destroy(): void {
    if (this.isClosed) {
      return;
    }
    this.#ended.abort();
    this.#retry?.cancel();
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
    // Acknowledgements are sent at the end of the turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#ready) {
      await this.#calls.drained();
    }
    this.destroy();
  }
}

export function callCount(count: number): string {
  return count === 1 ? '1 call' : `${count} calls`;
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
  // Node tries every address of a host, and puts what went wrong into an error without words.
  const parts = e instanceof AggregateError ? e.errors.map((part: Error) => part.message).join('; ') : '';
  return new ConnectionClosedError(e.message || parts || undefined, { cause: e });
}
