import { EventEmitter } from 'node:events';
import { attempt } from './calls.js';
import { type Arg, callCount, NexoConnection, type RedisClient, type Reply } from './connection.js';
import { NexoLock } from './lock.js';
import { type CallOpts, type CloseOptions, checked, fromZero, type NexoOptions, parseUrl, type TypedOptions } from './options.js';
import { NexoTopic, Subscriptions } from './pubsub.js';
import { type ConsumerHost, NexoQueue } from './queue.js';
import { NexoStore } from './store.js';
import { NexoStream } from './stream.js';
import { pause } from './timers.js';

interface Running {
  stop(): Promise<void>;
  abandon(): void;
}

/** What INFO tells, by field. */
export type ServerInfo = Record<string, string>;

/**
 * A client: one connection for calls and pub/sub, and one more for each running subscription of a queue or stream.
 * Everything it opens is closed by close() or disconnect(); then the process can end by itself.
 */
export class NexoClient
  extends EventEmitter<{ connect: []; disconnect: [Error?]; reconnect: []; error: [Error] }>
  implements AsyncDisposable
{
  /** Shared state. */
  readonly store: NexoStore;
  /** The connection for calls and pub/sub. */
  readonly connection: NexoConnection;
  readonly #subscriptions: Subscriptions;
  readonly #running = new Set<Running>();
  readonly #host: ConsumerHost;
  readonly #queues = new Map<string, NexoQueue<any>>();
  readonly #streams = new Map<string, NexoStream<any>>();
  readonly #topics = new Map<string, NexoTopic<any>>();
  #shutdown: ((signal: NodeJS.Signals) => void) | undefined;

  private constructor(options: NexoOptions) {
    super();
    this.connection = new NexoConnection(options);
    this.#subscriptions = new Subscriptions(this.connection);
    this.#host = {
      connection: this.connection,
      subscribed: new Set(),
      adopt: (consumer) => this.#running.add(consumer),
      dismiss: (consumer) => this.#running.delete(consumer),
    };
    this.store = new NexoStore(this.#host);
    this.connection.on('connect', () => this.emit('connect'));
    this.connection.on('reconnect', () => {
      const calls = this.connection.rejectedCalls;
      if (calls > 0) this.connection.log('warn', `connected again; ${callCount(calls)} rejected meanwhile`);
      this.emit('reconnect');
    });
    this.connection.on('disconnect', (error) => {
      if (!this.connection.isClosed) {
        const calls = this.connection.rejectedCalls;
        const rejected = calls === 0 ? '' : `; ${callCount(calls)} under way rejected`;
        this.connection.log('warn', `disconnected${error === undefined ? '' : `: ${error.message}`}${rejected}`);
      }
      this.emit('disconnect', error);
    });
    this.connection.on('error', (error) => {
      this.connection.log('error', error.message);
      if (this.listenerCount('error') > 0) {
        this.emit('error', error);
      }
    });
  }

  /**
   * Connects to a server: by options, or by a URL such as `nexo://user:password@localhost:7654` or `redis://localhost:7654/0`.
   */
  static async connect(options: NexoOptions | string = {}): Promise<NexoClient> {
    const client = new NexoClient(checked(typeof options === 'string' ? parseUrl(options) : options));
    await client.connection.open();
    if (client.connection.options.onShutdownSignal) {
      client.#closeOnSignal();
    }
    return client;
  }

  /** Whether calls can be made now. */
  get isConnected(): boolean {
    return this.connection.isConnected;
  }

  /** The client of @redis/client beneath, for commands that this SDK has no method for. */
  get redis(): RedisClient {
    return this.connection.redis;
  }

  /** A queue by name. Without options it is the object that was asked for with this name before, if any. */
  queue<T = any>(name: string, options?: TypedOptions<T>): NexoQueue<T> {
    return this.#once(this.#queues, name, options, () => new NexoQueue<T>(this.#host, name, options));
  }

  /** A stream by name. */
  stream<T = any>(name: string, options?: TypedOptions<T>): NexoStream<T> {
    return this.#once(this.#streams, name, options, () => new NexoStream<T>(this.#host, name, options));
  }

  /** A topic, or a filter with `+` and `#`. */
  pubsub<T = any>(topic: string, options?: TypedOptions<T>): NexoTopic<T> {
    return this.#once(this.#topics, topic, options, () => new NexoTopic<T>(this.#subscriptions, topic, options));
  }

  #once<V>(known: Map<string, V>, name: string, options: unknown, make: () => V): V {
    const found = known.get(name);
    if (found !== undefined && options === undefined) {
      return found;
    }
    const made = make();
    known.set(name, made);
    return made;
  }

  /** Any command; bulk strings are answered as Buffers. */
  command<R = Reply>(args: readonly Arg[], o?: CallOpts): Promise<R> {
    return attempt(() => {
      const copy = args.map((arg) => (typeof arg === 'string' ? arg : Buffer.from(arg)));
      return this.connection.send<R>(copy, o);
    });
  }

  /** How many milliseconds the server takes to answer. */
  ping(o?: CallOpts): Promise<number> {
    const began = performance.now();
    return this.connection.send(['PING'], o, () => performance.now() - began);
  }

  /** What the server tells of itself: versions, memory, counters. */
  info(o?: CallOpts): Promise<ServerInfo> {
    return this.connection.text<string, ServerInfo>(['INFO'], o, (text) => {
      const fields = text.split('\r\n').filter((line) => line !== '' && !line.startsWith('#'));
      return Object.fromEntries(fields.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
    });
  }

  /** Ends at once: what is under way is rejected, what was taken goes back to the server. */
  disconnect(): void {
    for (const consumer of [...this.#running]) {
      consumer.abandon();
    }
    this.#running.clear();
    this.#forgetSignal();
    this.connection.destroy();
  }

  /**
   * Ends in order: subscriptions stop, handlers and calls under way finish, acknowledgements are sent. After timeoutMs
   * (10,000) what is left is cut off.
   */
  async close(o: CloseOptions = {}): Promise<void> {
    const { timeoutMs = 10_000 } = o;
    fromZero('timeoutMs', timeoutMs);
    const finish = async (): Promise<void> => {
      // Handlers may hold locks: those are let go when there is no handler any more.
      const running = [...this.#running];
      await Promise.allSettled(running.filter((one) => !(one instanceof NexoLock)).map((consumer) => consumer.stop()));
      await Promise.allSettled([...this.#running].map((lock) => lock.stop()));
      await this.connection.close();
    };
    const limit = new AbortController();
    await Promise.race([finish(), pause(timeoutMs, limit.signal)]);
    limit.abort();
    this.disconnect();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #closeOnSignal(): void {
    this.#shutdown = (signal) => {
      this.#forgetSignal();
      void this.close().finally(() => process.kill(process.pid, signal));
    };
    process.on('SIGTERM', this.#shutdown);
    process.on('SIGINT', this.#shutdown);
  }

  #forgetSignal(): void {
    if (this.#shutdown !== undefined) {
      process.off('SIGTERM', this.#shutdown);
      process.off('SIGINT', this.#shutdown);
      this.#shutdown = undefined;
    }
  }
}
