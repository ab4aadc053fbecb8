import { attempt, forgiving, isOne } from './calls.js';
import { type Codec, decode, encodeArg } from './codec.js';
import type { Arg, NexoConnection } from './connection.js';
import { NexoError, ValidationError } from './errors.js';
import { type LimiterConfig, NexoLimiter } from './limiter.js';
import { acquireLock, type LockOptions, type NexoLock } from './lock.js';
import { type CallOpts, milliseconds } from './options.js';
import type { ConsumerHost } from './queue.js';

export interface SetOptions extends CallOpts {
  /** Seconds until the key expires. */
  ttl?: number;
  /** Milliseconds until the key expires. */
  ttlMs?: number;
  /** Only when there is no such key. */
  ifAbsent?: boolean;
  /** Only when there is one. */
  ifPresent?: boolean;
  /** Keeps the expiry that the key has. */
  keepTtl?: boolean;
  as?: Codec;
}

export interface ReadOptions extends CallOpts {
  as?: Codec;
}

/** Options of setMany(). */
export type SetManyOptions = Omit<SetOptions, 'keepTtl'>;

/** Which keys are scanned. */
export interface ScanOptions extends CallOpts {
  /** A glob such as `user:*`. */
  match?: string;
  /** About how many keys one request looks at; default 100. */
  count?: number;
}

/** Shared state: `client.store.map`, limiters and locks. */
export class NexoStore {
  readonly map: NexoMap;
  readonly #host: ConsumerHost;

  constructor(host: ConsumerHost) {
    this.map = new NexoMap(host.connection);
    this.#host = host;
  }

  /** Lets so many through per window, counted by the server for all processes; the name is one of yours. */
  limiter(name: string, config: LimiterConfig): NexoLimiter {
    return new NexoLimiter(this.#host.connection, name, config);
  }

  /**
   * Takes a lock that one process has at a time, and renews it until it is released; null when somebody else has it for as long
   * as may be waited. `await using lock = ...` releases it at the end of the block.
   */
  lock(name: string, o: LockOptions = {}): Promise<NexoLock | null> {
    return forgiving(() => acquireLock(this.#host, name, o));
  }
}

/** Keys with values and an optional expiry, in the memory of the server. */
export class NexoMap {
  readonly #connection: NexoConnection;

  constructor(connection: NexoConnection) {
    this.#connection = connection;
  }

  #encode(value: unknown, as?: Codec): Arg {
    return encodeArg(value, as ?? this.#connection.options.codec);
  }

  #decode<T>(reply: Buffer | null, as?: Codec): T | null {
    return reply === null ? null : decode<T>(reply, as ?? this.#connection.options.codec);
  }

  /** Sets a key. Answers false when ifAbsent or ifPresent kept it from doing so. */
  set(key: string, value: unknown, o: SetOptions = {}): Promise<boolean> {
    return attempt(() => {
      const args: Arg[] = ['NSET', key, this.#encode(value, o.as)];
      pushConditions(args, o);
      if (o.keepTtl) args.push('KEEPTTL');
      return this.#connection.send(args, o, isThere);
    });
  }

  /** The value of a key, null when there is none. */
  get<T = any>(key: string, o: ReadOptions = {}): Promise<T | null> {
    const { as } = o;
    return this.#connection.send<Buffer | null, T | null>(['NGET', key], o, (reply) => this.#decode<T>(reply, as));
  }

  /** Deletes a key; false when there was none. */
  del(key: string, o?: CallOpts): Promise<boolean> {
    return this.#connection.send(['NDEL', key], o, isOne);
  }

  /** The values of keys, in their order; null for one that is missing. */
  getMany<T = any>(keys: readonly string[], o: ReadOptions = {}): Promise<(T | null)[]> {
    if (keys.length === 0) {
      return Promise.resolve([]);
    }
    const { as } = o;
    return this.#connection.send<(Buffer | null)[], (T | null)[]>(['NMGET', ...keys], o, (replies) =>
      replies.map((reply) => this.#decode<T>(reply, as)),
    );
  }

  /** Sets several keys at once. With ifAbsent or ifPresent all or none; false is none. */
  setMany(values: Record<string, unknown> | ReadonlyMap<string, unknown>, o: SetManyOptions = {}): Promise<boolean> {
    return attempt(() => {
      const pairs = [...(values instanceof Map ? (values as ReadonlyMap<string, unknown>) : Object.entries(values))];
      if (pairs.length === 0) {
        return Promise.resolve(true);
      }
      const args: Arg[] = ['NMSET', String(pairs.length)];
      for (const [key, value] of pairs) {
        args.push(key, this.#encode(value, o.as));
      }
      pushConditions(args, o);
      return this.#connection.send(args, o, isOne);
    });
  }

  /** Whether there is such a key. */
  has(key: string, o?: CallOpts): Promise<boolean> {
    return this.#connection.send(['NEXISTS', key], o, isOne);
  }

  /**
   * Adds to a number, which begins at 0, and answers the sum. A fraction makes it a float. Beyond 2^53 the answer is rounded, as
   * every number is there; what is stored is not.
   */
  incr(key: string, by = 1, o?: CallOpts): Promise<number> {
    const word = Number.isInteger(by) ? 'BY' : 'BYFLOAT';
    return this.#connection.send(['NINCR', key, word, String(by)], o, (sum) => Number(String(sum)));
  }

  /** Lets a key expire after so many seconds; false when there is no such key. */
  expire(key: string, seconds: number, o?: CallOpts): Promise<boolean> {
    return attempt(() => this.#connection.send(['NEXPIRE', key, milliseconds('seconds', seconds * 1000)], o, isOne));
  }

  /** Takes the expiry away; false when there was none. */
  persist(key: string, o?: CallOpts): Promise<boolean> {
    return this.#connection.send(['NPERSIST', key], o, isOne);
  }

  /** Seconds until a key expires; Infinity when it does not, null when it is missing. */
  ttl(key: string, o?: CallOpts): Promise<number | null> {
    return this.#connection.send<number, number | null>(['NTTL', key], o, (ms) =>
      ms === -2 ? null : ms === -1 ? Number.POSITIVE_INFINITY : ms / 1000,
    );
  }

  /** Sets a key and answers what it was before. */
  getSet<T = any>(key: string, value: unknown, o: ReadOptions = {}): Promise<T | null> {
    const { as } = o;
    return attempt(() =>
      this.#connection.send<Buffer | null, T | null>(['NSET', key, this.#encode(value, as), 'GET'], o, (reply) =>
        this.#decode<T>(reply, as),
      ),
    );
  }

  /** The keys that match a glob such as `user:*`; a key that is there all the time is told once or more. */
  async *scan(o: ScanOptions = {}): AsyncGenerator<string> {
    let cursor = '0';
    do {
      const args = ['NSCAN', cursor, 'COUNT', String(o.count ?? 100)];
      if (o.match !== undefined) args.push('MATCH', o.match);
      const [next, keys] = await this.#connection.text<[string, string[]]>(args, o);
      yield* keys;
      cursor = next;
    } while (cursor !== '0');
  }

  /**
   * Changes a value atomically: fn gets what is there (null when nothing) and returns what shall be; undefined changes
   * nothing. When somebody else was faster fn is called again with the new value.
   */
  update<T = any>(
    key: string,
    fn: (current: T | null) => T | undefined | Promise<T | undefined>,
    o: ReadOptions = {},
  ): Promise<T | null> {
    return forgiving(async () => {
      for (let attempt = 0; attempt < 100; attempt++) {
        const raw = await this.#connection.send<Buffer | null>(['NGET', key], o);
        const current = this.#decode<T>(raw, o.as);
        const next = await fn(current);
        if (next === undefined) {
          return current;
        }
        const args: Arg[] = ['NSET', key, this.#encode(next, o.as)];
        if (raw === null) args.push('NX');
        else args.push('IFEQ', raw, 'KEEPTTL');
        if ((await this.#connection.send(args, o)) !== null) {
          return next;
        }
      }
      throw new NexoError('CONFLICT', `"${key}" was changed by others 100 times while it was being updated`);
    });
  }
}

function isThere(reply: unknown): boolean {
  return reply !== null;
}

function pushConditions(args: Arg[], o: SetOptions): void {
  if (o.ifAbsent && o.ifPresent) {
    throw new ValidationError('ifAbsent and ifPresent cannot both hold');
  }
  pushExpiry(args, o);
  if (o.ifAbsent) args.push('NX');
  if (o.ifPresent) args.push('XX');
}

function pushExpiry(args: Arg[], o: SetOptions): void {
  if (o.ttl !== undefined && o.ttlMs !== undefined) {
    throw new ValidationError('ttl and ttlMs cannot both be given');
  }
  if (o.ttl !== undefined) args.push('PX', milliseconds('ttl', o.ttl * 1000));
  if (o.ttlMs !== undefined) args.push('PX', milliseconds('ttlMs', o.ttlMs));
}
