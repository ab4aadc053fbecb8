import { decode, encodeArg } from './codec.js';
import type { Arg, NexoConnection } from './connection.js';
import { settle } from './consumer.js';
import { NexoError, ValidationError } from './errors.js';
import { type CallOpts, milliseconds, type TypedOptions, validate } from './options.js';

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

  async remove(filter: string): Promise<void> {
    const listener = this.#listeners.get(filter);
    if (listener === undefined) {
      return;
    }
    this.#listeners.delete(filter);
    try {
      await this.connection.guard(['UNSUBSCRIBE', filter], () => this.#leave(filter, listener));
    } catch (error) {
      if (this.connection.isConnected) {
        throw error;
      }
      // Without a connection the server knows no subscription. The client beneath would renew it with the next one.
      this.#leaveLater(filter, listener);
    }
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

/** A topic, or a filter with `+` (one level) and `#` (all levels that follow). */
export class NexoTopic<T = unknown> {
  readonly name: string;
  readonly #subscriptions: Subscriptions;
  readonly #options: TypedOptions<T>;

  constructor(subscriptions: Subscriptions, name: string, options: TypedOptions<T> = {}) {
    if (isFilter(name) && /[*?[\\]/.test(name)) {
      throw new ValidationError(`the filter "${name}" holds one of * ? [ \\, which cannot be told from a glob`);
    }
    this.name = name;
    this.#subscriptions = subscriptions;
    this.#options = options;
  }

  /** Publishes a message to all who are subscribed now, and answers nothing about them. */
  async publish(data: T, o: PublishOptions = {}): Promise<void> {
    if (isFilter(this.name)) {
      throw new ValidationError(`"${this.name}" is a filter: only a topic can be published to`);
    }
    const value = await validate(this.#options.schema, data, `message to ${this.name}`);
    const args: Arg[] = ['NPUB', this.name, encodeArg(value, this.#options.as ?? this.#subscriptions.connection.options.codec)];
    if (o.retain) args.push('RETAIN');
    if (o.ttlMs !== undefined) {
      if (!o.retain) {
        throw new ValidationError('ttlMs is for retained messages');
      }
      args.push('PX', milliseconds('ttlMs', o.ttlMs));
    }
    await this.#subscriptions.connection.send(args, o);
  }

  /**
   * Calls back for each message, the retained ones first. A topic or filter has one subscription of a client; it survives
   * a reconnect, and what was published meanwhile is missed. A callback that throws is logged.
   */
  async subscribe(callback: (data: T, meta: MessageMeta) => unknown): Promise<void> {
    const { connection } = this.#subscriptions;
    await this.#subscriptions.add(this.name, (payload, topic) => {
      void (async () => {
        try {
          const raw = decode(payload, this.#options.as ?? connection.options.codec);
          const data =
            this.#options.schema === undefined ? (raw as T) : await validate(this.#options.schema, raw, `message of ${topic}`);
          await callback(data, { topic: topic.toString() });
        } catch (error) {
          connection.log('error', `subscription to ${this.name}: ${(error as Error).stack}`);
        }
      })();
    });
  }

  /** Ends the subscription; nothing happens when there is none. */
  async unsubscribe(): Promise<void> {
    await this.#subscriptions.remove(this.name);
  }

  /**
   * The messages as an async iterable, until the signal is aborted or the client closed. At most `buffer` (1,000) wait for the
   * loop; then the oldest is dropped, or the loop ends with an error.
   */
  async *messages(
    o: { signal?: AbortSignal; buffer?: number; overflow?: 'drop-oldest' | 'error' } = {},
  ): AsyncGenerator<{ data: T; meta: MessageMeta }> {
    const waiting: { data: T; meta: MessageMeta }[] = [];
    let wake: (() => void) | undefined;
    let overflowed = false;
    const awaken = (): void => wake?.();
    await this.subscribe((data, meta) => {
      if (waiting.length >= (o.buffer ?? 1000)) {
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
          throw new NexoError('OVERFLOW', `more than ${o.buffer ?? 1000} messages of "${this.name}" wait to be read`);
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
  async clearRetained(o?: CallOpts): Promise<number> {
    return this.#subscriptions.connection.send<number>(['NRDEL', this.name], o);
  }
}
