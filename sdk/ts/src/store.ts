import { type Codec, decode, encodeArg } from './codec.js';
import type { Arg, NexoConnection } from './connection.js';
import { NexoError, ValidationError } from './errors.js';
import { type CallOpts, milliseconds } from './options.js';

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

/** Shared state: `client.store.map`. */
export class NexoStore {
  readonly map: NexoMap;
  constructor(connection: NexoConnection) {
    this.map = new NexoMap(connection);
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
  async set(key: string, value: unknown, o: SetOptions = {}): Promise<boolean> {
    if (o.ifAbsent && o.ifPresent) {
      throw new ValidationError('ifAbsent and ifPresent cannot both hold');
    }
    const args: Arg[] = ['NSET', key, this.#encode(value, o.as)];
    pushExpiry(args, o);
    if (o.ifAbsent) args.push('NX');
    if (o.ifPresent) args.push('XX');
    if (o.keepTtl) args.push('KEEPTTL');
    return (await this.#connection.send(args, o)) !== null;
  }

  /** The value of a key, null when there is none. */
  async get<T = unknown>(key: string, o: ReadOptions = {}): Promise<T | null> {
    return this.#decode<T>(await this.#connection.send<Buffer | null>(['NGET', key], o), o.as);
  }

  /** Deletes a key; false when there was none. */
  async del(key: string, o?: CallOpts): Promise<boolean> {
    return (await this.#connection.send<number>(['NDEL', key], o)) === 1;
  }

  /** The values of keys, in their order; null for one that is missing. */
  async getMany<T = unknown>(keys: readonly string[], o: ReadOptions = {}): Promise<(T | null)[]> {
    if (keys.length === 0) {
      return [];
    }
    const replies = await this.#connection.send<(Buffer | null)[]>(['NMGET', ...keys], o);
    return replies.map((reply) => this.#decode<T>(reply, o.as));
  }

  /** Sets several keys at once. With ifAbsent or ifPresent all or none; false is none. */
  async setMany(
    values: Record<string, unknown> | ReadonlyMap<string, unknown>,
    o: Omit<SetOptions, 'keepTtl'> = {},
  ): Promise<boolean> {
    const pairs = [...(values instanceof Map ? (values as ReadonlyMap<string, unknown>) : Object.entries(values))];
    if (pairs.length === 0) {
      return true;
    }
    const args: Arg[] = ['NMSET', String(pairs.length)];
    for (const [key, value] of pairs) {
      args.push(key, this.#encode(value, o.as));
    }
    pushExpiry(args, o);
    if (o.ifAbsent) args.push('NX');
    if (o.ifPresent) args.push('XX');
    return (await this.#connection.send<number>(args, o)) === 1;
  }

  /** Whether there is such a key. */
  async has(key: string, o?: CallOpts): Promise<boolean> {
    return (await this.#connection.send<number>(['NEXISTS', key], o)) === 1;
  }

  /** Adds to a number, which begins at 0, and answers the sum. A fraction makes it a float. */
  async incr(key: string, by = 1, o?: CallOpts): Promise<number> {
    const word = Number.isInteger(by) ? 'BY' : 'BYFLOAT';
    return Number(String(await this.#connection.send(['NINCR', key, word, String(by)], o)));
  }

  /** Lets a key expire after so many seconds; false when there is no such key. */
  async expire(key: string, seconds: number, o?: CallOpts): Promise<boolean> {
    return (await this.#connection.send<number>(['NEXPIRE', key, milliseconds('seconds', seconds * 1000)], o)) === 1;
  }

  /** Takes the expiry away; false when there was none. */
  async persist(key: string, o?: CallOpts): Promise<boolean> {
    return (await this.#connection.send<number>(['NPERSIST', key], o)) === 1;
  }

  /** Seconds until a key expires; Infinity when it does not, null when it is missing. */
  async ttl(key: string, o?: CallOpts): Promise<number | null> {
    const ms = await this.#connection.send<number>(['NTTL', key], o);
    return ms === -2 ? null : ms === -1 ? Number.POSITIVE_INFINITY : ms / 1000;
  }

  /** Sets a key and answers what it was before. */
  async getSet<T = unknown>(key: string, value: unknown, o: ReadOptions = {}): Promise<T | null> {
    return this.#decode<T>(await this.#connection.send<Buffer | null>(['NSET', key, this.#encode(value, o.as), 'GET'], o), o.as);
  }

  /** The keys that match a glob such as `user:*`; a key that is there all the time is told once or more. */
  async *scan(o: { match?: string; count?: number } & CallOpts = {}): AsyncGenerator<string> {
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
  async update<T = unknown>(
    key: string,
    fn: (current: T | null) => T | undefined | Promise<T | undefined>,
    o: ReadOptions = {},
  ): Promise<T | null> {
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
  }
}

function pushExpiry(args: Arg[], o: SetOptions): void {
  if (o.ttl !== undefined && o.ttlMs !== undefined) {
    throw new ValidationError('ttl and ttlMs cannot both be given');
  }
  if (o.ttl !== undefined) args.push('PX', milliseconds('ttl', o.ttl * 1000));
  if (o.ttlMs !== undefined) args.push('PX', milliseconds('ttlMs', o.ttlMs));
}
