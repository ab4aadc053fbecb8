import { attempt, forgiving } from './calls.js';
import type { NexoConnection } from './connection.js';
import { settle } from './consumer.js';
import { NexoError, ValidationError } from './errors.js';
import { type CallOpts, milliseconds, positive, type TypedOptions } from './options.js';
import { Payloads } from './payload.js';
import { stackOf } from './thrown.js';

export interface MessageMeta {
  /** The topic that it was published to. */
  topic: string;
}

export interface PublishOptions extends CallOpts {
  /** Keeps the message for later subscribers. */
  retain?: boolean;
  /** How long a retained message is kept. */
  ttlMs?: number;
}

/** How messages() keeps what the loop has not read yet. */
export interface TopicMessagesOptions {
  /** Ends the loop. */
  signal?: AbortSignal;
  /** How many messages may wait; default 1,000. */
  buffer?: number;
  /** What happens when more would: the oldest is dropped (default), or the loop ends with an error. */
  overflow?: 'drop-oldest' | 'error';
}

type Listener = (payload: Buffer, topic: Buffer) => void;

/** Which subscriptions a client has; a topic or filter has one. */
export class Subscriptions {
  readonly connection: NexoConnection;
  readonly #listeners = new Map<string, Listener>();

  constructor(connection: NexoConnection) {
    this.connection = connection;
  }

  async add(filter: string, callback: Listener): Promise<void> {
    if (this.#listeners.has(filter)) {
      throw new NexoError('SUBSCRIBED', `there is a subscription to "${filter}" already`);
    }
    // The client beneath may still know a listener that was let go here.
    const listener: Listener = (payload, topic) => {
      if (this.#listeners.get(filter) === listener) callback(payload, topic);
    };
    this.#listeners.set(filter, listener);
    try {
      await this.connection.guard(['SUBSCRIBE', filter], () => this.#enter(filter, listener));
    } catch (error) {
      if (this.#listeners.get(filter) === listener) this.#listeners.delete(filter);
      throw error;
    }
  }

  #enter(filter: string, listener: Listener): Promise<void> {
    const { redis } = this.connection;
    const entered = isFilter(filter)
      ? redis.pSubscribe(filter, listener as never, true)
      : redis.subscribe(filter, listener as never, true);
    entered.then(
      // When it was given up meanwhile nothing may be left of it.
      () => this.#listeners.get(filter) === listener || this.#leaveLater(filter, listener),
      () => undefined, // the caller's
    );
    return entered;
  }

  remove(filter: string): Promise<void> {
    const listener = this.#listeners.get(filter);
    if (listener === undefined) {
      return Promise.resolve();
    }
    this.#listeners.delete(filter);
    return forgiving(async () => {
      try {
        await this.connection.guard(['UNSUBSCRIBE', filter], () => this.#leave(filter, listener));
      } catch (error) {
        if (this.connection.isConnected) {
          throw error;
        }
        // Without a connection the server knows no subscription. The client beneath would renew it with the next one.
        this.#leaveLater(filter, listener);
      }
    });
  }

  #leave(filter: string, listener: Listener): Promise<void> {
    const { redis } = this.connection;
    return isFilter(filter)
      ? redis.pUnsubscribe(filter, listener as never, true)
      : redis.unsubscribe(filter, listener as never, true);
  }

  /** Leaves as soon as there is a connection. */
  #leaveLater(filter: string, listener: Listener): void {
    const leave = () => this.connection.guard(['UNSUBSCRIBE', filter], () => this.#leave(filter, listener));
    settle(this.connection, leave).catch((error: Error) =>
      this.connection.isClosed ? undefined : this.connection.log('error', `subscription to ${filter}: ${error.message}`),
    );
  }
}

/** Whether a topic has an MQTT wildcard. */
function isFilter(topic: string): boolean {
  const levels = topic.split('/');
  return levels.includes('+') || levels.at(-1) === '#';
}

const longestName = 65_535;
const mostLevels = 128;

/** Says why nobody can subscribe to a text; undefined when it is a topic or a filter. The rules are the server's. */
function problemOf(filter: string): string | undefined {
  const levels = filter.split('/');
  if (filter === '') return 'is empty';
  if (Buffer.byteLength(filter) > longestName) return `is longer than ${longestName} bytes`;
  if (filter.includes('\0') || !filter.isWellFormed()) return 'holds a NUL character or half a surrogate pair';
  if (levels.length > mostLevels) return `has more than ${mostLevels} levels`;
  if (levels.slice(0, -1).includes('#')) return "has '#' before its last level";
  const torn = levels.find((level) => level.length > 1 && /[+#]/.test(level));
  return torn === undefined ? undefined : `has the level '${torn}': '+' and '#' must fill theirs`;
}

/** A topic, or a filter with `+` (one level) and `#` (all levels that follow). */
export class NexoTopic<T = any> {
  readonly name: string;
  readonly #subscriptions: Subscriptions;
  readonly #payloads: Payloads<T>;
  readonly #isFilter: boolean;

  constructor(subscriptions: Subscriptions, name: string, options: TypedOptions<T> = {}) {
    this.#isFilter = isFilter(name);
    if (this.#isFilter && /[*?[\\]/.test(name)) {
      throw new ValidationError(`the filter "${name}" holds one of * ? [ \\, which cannot be told from a glob`);
    }
    this.name = name;
    this.#subscriptions = subscriptions;
    this.#payloads = new Payloads(subscriptions.connection, options, `message of ${name}`);
  }

  /** Publishes a message to all who are subscribed now, and answers nothing about them. */
  publish(data: T, o: PublishOptions = {}): Promise<void> {
    return attempt(() => {
      if (this.#isFilter) {
        throw new ValidationError(`"${this.name}" is a filter: only a topic can be published to`);
      }
      const words: string[] = o.retain ? ['RETAIN'] : [];
      if (o.ttlMs !== undefined) {
        if (!o.retain) {
          throw new ValidationError('ttlMs is for retained messages');
        }
        words.push('PX', milliseconds('ttlMs', o.ttlMs));
      }
      const { connection } = this.#subscriptions;
      return this.#payloads.send(data, (payload) => connection.send(['NPUB', this.name, payload, ...words], o, () => undefined));
    });
  }

  /**
   * Calls back for each message, the retained ones first. A topic or filter has one subscription of a client; it survives
   * a reconnect, and what was published meanwhile is missed. A callback that throws is logged.
   */
  async subscribe(callback: (data: T, meta: MessageMeta) => unknown): Promise<void> {
    const problem = problemOf(this.name);
    if (problem !== undefined) {
      throw new ValidationError(`the filter "${this.name}" ${problem}`);
    }
    const { connection } = this.#subscriptions;
    await this.#subscriptions.add(this.name, (payload, topic) => {
      void (async () => {
        try {
          const data = this.#payloads.read(payload);
          await callback(data instanceof Promise ? await data : data, { topic: topic.toString() });
        } catch (error) {
          connection.log('error', `subscription to ${this.name}: message of ${topic}: ${stackOf(error)}`);
        }
      })();
    });
  }

  /** Ends the subscription; nothing happens when there is none. */
  unsubscribe(): Promise<void> {
    return this.#subscriptions.remove(this.name);
  }

  /**
   * The messages as an async iterable, until the signal is aborted or the client closed. At most `buffer` (1,000) wait for the
   * loop; then the oldest is dropped, or the loop ends with an error.
   */
  async *messages(o: TopicMessagesOptions = {}): AsyncGenerator<{ data: T; meta: MessageMeta }> {
    const { buffer = 1000 } = o;
    if (buffer !== Number.POSITIVE_INFINITY) positive({ buffer });
    const waiting: { data: T; meta: MessageMeta }[] = [];
    let wake: (() => void) | undefined;
    let overflowed = false;
    const awaken = (): void => wake?.();
    await this.subscribe((data, meta) => {
      if (waiting.length >= buffer) {
        overflowed = true;
        if (o.overflow !== 'error') waiting.shift();
      }
      waiting.push({ data, meta });
      awaken();
    });
    const { ended } = this.#subscriptions.connection;
    for (const signal of [ended, o.signal]) signal?.addEventListener('abort', awaken, { once: true });
    try {
      while (!ended.aborted && !o.signal?.aborted) {
        if (overflowed && o.overflow === 'error') {
          throw new NexoError('OVERFLOW', `more than ${buffer} messages of "${this.name}" wait to be read`);
        }
        const next = waiting.shift();
        if (next !== undefined) {
          yield next;
          continue;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      for (const signal of [ended, o.signal]) signal?.removeEventListener('abort', awaken);
      await this.unsubscribe();
    }
  }

  /** Forgets the retained message of the topic, or those that the filter matches; answers how many there were. */
  clearRetained(o?: CallOpts): Promise<number> {
    return this.#subscriptions.connection.send<number>(['NRDEL', this.name], o);
  }
}
