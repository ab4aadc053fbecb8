import { randomUUID } from 'node:crypto';
import { decode, encodeArg } from './codec.js';
import { type Arg, NexoConnection } from './connection.js';
import { asError, Batch, Consumer, observed, type Source, type Subscription, settle } from './consumer.js';
import { NexoError, NotFoundError } from './errors.js';
import { type CallOpts, milliseconds, type TypedOptions, validate } from './options.js';
import { type ConsumerHost, positive, waitLimitMs } from './queue.js';

export interface StreamConfig {
  /** What is kept; default 7 days and 1 GiB. 0 is no limit. */
  retention?: { maxAgeMs?: number; maxBytes?: number };
}

/** A place in a stream. */
export type StreamPosition = 'beginning' | 'end' | { seq: bigint | number } | { time: Date };

export interface AppendOptions extends CallOpts {
  /** The offset that the last entry must have: 0 for an empty stream. */
  expectSeq?: bigint | number;
  /** A second entry with this id within two minutes is not appended; the first one's offset is answered. */
  id?: string;
}

export interface StreamSubscribeOptions {
  /** Entries held at a time. Default 100. */
  batchSize?: number;
  /** Longest wait of one request for entries. Default 20,000. */
  waitMs?: number;
  /** Handlers at a time. Default 1: entries are handled in order. */
  concurrency?: number;
  signal?: AbortSignal;
  /** Where a group begins that does not exist yet. Default beginning. */
  from?: StreamPosition;
  onError?: (error: Error) => void;
}

export interface StreamMessage<T> {
  readonly seq: bigint;
  readonly data: T;
  readonly timestamp: Date;
  /** 1 the first time. */
  readonly attempts: number;
}

export interface StreamEntry<T> {
  readonly seq: bigint;
  readonly data: T;
  readonly timestamp: Date;
}

export interface StreamInfo {
  first: bigint;
  next: bigint;
  entries: number;
  bytes: number;
  groups: number;
  maxAgeMs: number;
  maxBytes: number;
}

/** How far a group is. */
export interface GroupInfo {
  name: string;
  /** The entry that is delivered next. */
  next: bigint;
  /** Entries that it has still to see. */
  lag: number;
  /** Entries that are delivered and not acknowledged. */
  pending: number;
  /** Entries that failed for good and wait for somebody to look at them. */
  parked: number;
  /** Entries that retention took away before the group had seen them. */
  skipped: number;
  /** Consumers that hold entries. */
  consumers: number;
  /** Consumers that wait for entries. */
  waiters: number;
  /** Counts the seeks: acknowledgements of an older epoch mean nothing. */
  epoch: number;
}

type RawEntry = [offset: number, ms: number, payload: Buffer];
type RawDelivery = [offset: number, ms: number, deliveries: number, payload: Buffer];

interface HeldEntry {
  raw: RawDelivery;
  epoch: number;
}

/** An append-only log. Publishing makes it; subscribing to one that does not exist is an error. */
export class NexoStream<T = unknown> {
  readonly name: string;
  readonly #host: ConsumerHost;
  readonly #options: TypedOptions<T>;

  constructor(host: ConsumerHost, name: string, options: TypedOptions<T> = {}) {
    this.name = name;
    this.#host = host;
    this.#options = options;
  }

  get #connection(): NexoConnection {
    return this.#host.connection;
  }

  async #encode(data: T): Promise<Arg> {
    const value = await validate(this.#options.schema, data, `entry of ${this.name}`);
    return encodeArg(value, this.#options.as ?? this.#connection.options.codec);
  }

  #decode(payload: Buffer): T {
    return decode<T>(payload, this.#options.as ?? this.#connection.options.codec);
  }

  /** Makes the stream. One that exists must have the same configuration, or none may be given. */
  async create(config: StreamConfig = {}, o?: CallOpts): Promise<this> {
    const args = ['XCREATE', this.name];
    const { maxAgeMs, maxBytes } = config.retention ?? {};
    if (maxAgeMs !== undefined) args.push('MAXAGE', milliseconds('maxAgeMs', maxAgeMs));
    if (maxBytes !== undefined) args.push('MAXBYTES', String(maxBytes));
    if (args.length === 2) args.push('IFNX');
    await this.#connection.send(args, o);
    return this;
  }

  /** Whether there is such a stream. */
  async exists(o?: CallOpts): Promise<boolean> {
    return (await this.#connection.send<number>(['XEXISTS', this.name], o)) === 1;
  }

  /** Deletes the stream with its groups; false when there was none. */
  async delete(o?: CallOpts): Promise<boolean> {
    return (await this.#connection.send<number>(['XDROP', this.name], o)) === 1;
  }

  /** Appends an entry. When the promise resolves it is as durable as the stream is. */
  async publish(data: T, o?: CallOpts): Promise<void> {
    await this.append(data, o);
  }

  /** Appends an entry and answers its offset. */
  async append(data: T, o: AppendOptions = {}): Promise<bigint> {
    const args: Arg[] = ['XAPPEND', this.name, await this.#encode(data)];
    if (o.expectSeq !== undefined) args.push('EXPECT', String(o.expectSeq));
    if (o.id !== undefined) {
      const [offset] = await this.#connection.send<[number, number]>([...args, 'DEDUP', o.id], o);
      return BigInt(offset);
    }
    return BigInt(await this.#connection.send<number>(args, o));
  }

  /** Appends entries, all or none, and answers the first and the last offset. */
  async appendMany(items: readonly T[], o: Omit<AppendOptions, 'id'> = {}): Promise<{ first: bigint; last: bigint }> {
    positive({ 'the number of items': items.length });
    const payloads = await Promise.all(items.map((item) => this.#encode(item)));
    const args: Arg[] = ['XMAPPEND', this.name, String(items.length), ...payloads];
    if (o.expectSeq !== undefined) args.push('EXPECT', String(o.expectSeq));
    const [first, last] = await this.#connection.send<[number, number]>(args, o);
    return { first: BigInt(first), last: BigInt(last) };
  }

  /** Moves a group: what it had under way is forgotten. */
  async seek(group: string, to: StreamPosition, o?: CallOpts): Promise<void> {
    await this.#connection.send(['XSEEK', this.name, group, position(to)], o);
  }

  /** Reads entries without a group. */
  async read(o: { from?: StreamPosition; to?: StreamPosition; limit?: number } & CallOpts = {}): Promise<StreamEntry<T>[]> {
    const args = ['XFETCH', this.name, position(o.from ?? 'beginning'), 'COUNT', String(o.limit ?? 100), 'MAXBYTES', '16777216'];
    if (o.to !== undefined) args.push('TO', o.to === 'end' ? 'last' : position(o.to));
    const [, , , entries] = await this.#connection.send<[number, number, number, RawEntry[]]>(args, o);
    return entries.map((entry) => this.#entry(entry));
  }

  #entry([offset, ms, payload]: RawEntry): StreamEntry<T> {
    return { seq: BigInt(offset), data: this.#decode(payload), timestamp: new Date(ms) };
  }

  /**
   * The entries from a place on (default the end), and those that are appended later, as an async iterable, until the signal is
   * aborted or the client closed. It goes on after a loss of the connection, without gap or repetition.
   */
  async *tail(o: { from?: StreamPosition; signal?: AbortSignal } = {}): AsyncGenerator<StreamEntry<T>> {
    if (o.signal?.aborted) {
      return;
    }
    const own = new NexoConnection({ ...this.#connection.options, offline: 'reject' });
    let ended = false;
    let failure: Error | undefined;
    own.on('error', (error) => {
      failure = error;
    });
    const end = (): void => {
      ended = true;
      own.destroy();
    };
    const consumer = { stop: async () => end(), abandon: end };
    this.#host.adopt(consumer);
    o.signal?.addEventListener('abort', end, { once: true });
    try {
      await own.open();
      let at = position(o.from ?? 'end');
      let block: string[] = []; // the first answer comes at once, and tells which offset the end is
      while (!ended) {
        const args = ['XFETCH', this.name, at, ...block];
        const limitMs = waitLimitMs(own, 20_000);
        const page = await settle(own, () => own.send<[number, number, number, RawEntry[]]>(args, { timeoutMs: limitMs }));
        at = String(page[0]);
        block = ['BLOCK', '20000'];
        for (const entry of page[3]) {
          if (ended) return;
          yield this.#entry(entry);
        }
      }
    } catch (error) {
      if (!ended) throw failure ?? error;
    } finally {
      o.signal?.removeEventListener('abort', end);
      own.destroy();
      this.#host.dismiss(consumer);
    }
  }

  /** Which offsets the stream holds, how big it is and what it keeps. */
  async info(o?: CallOpts): Promise<StreamInfo> {
    const stat = await this.#connection.text<Record<string, number>>(['XSTAT', this.name], o);
    return {
      first: BigInt(stat.first ?? 1),
      next: BigInt(stat.next ?? 1),
      entries: Number(stat.entries),
      bytes: Number(stat.bytes),
      groups: Number(stat.groups),
      maxAgeMs: Number(stat.maxage),
      maxBytes: Number(stat.maxbytes),
    };
  }

  /** How far a group is. */
  async group(name: string, o?: CallOpts): Promise<GroupInfo> {
    const stat = await this.#connection.text<Record<string, number>>(['XSTAT', this.name, name], o);
    return {
      name,
      next: BigInt(stat.next ?? 1),
      lag: Number(stat.lag),
      pending: Number(stat.pending),
      parked: Number(stat.parked),
      skipped: Number(stat.skipped),
      consumers: Number(stat.consumers),
      waiters: Number(stat.waiters),
      epoch: Number(stat.epoch),
    };
  }

  /** How far each group is, in the order of their names. */
  async groups(o?: CallOpts): Promise<GroupInfo[]> {
    const stat = await this.#connection.text<{ 'group-names': string[] }>(['XSTAT', this.name], o);
    const groups = stat['group-names'].map((group) =>
      this.group(group, o).catch((error: NexoError) => {
        if (error.code !== 'NOGROUP') throw error;
        return undefined; // dropped since its name was told
      }),
    );
    return (await Promise.all(groups)).filter((group) => group !== undefined);
  }

  /**
   * Calls back for each entry as a member of a group, which is made when there is none. An entry is acknowledged when the
   * callback is done; when it throws the entry comes again, and after five deliveries it is parked.
   */
  async subscribe(
    group: string,
    callback: (data: T, message: StreamMessage<T>) => unknown,
    o: StreamSubscribeOptions = {},
  ): Promise<Subscription> {
    const { subscribed } = this.#host;
    const key = `stream ${this.name}\0${group}`; // names hold no control characters
    if (subscribed.has(key)) {
      throw new NexoError('SUBSCRIBED', `there is a subscription to stream "${this.name}" as group "${group}" already`);
    }
    subscribed.add(key);
    try {
      return await this.#subscribe(group, callback, o, () => subscribed.delete(key));
    } catch (error) {
      subscribed.delete(key);
      throw error;
    }
  }

  async #subscribe(
    group: string,
    callback: (data: T, message: StreamMessage<T>) => unknown,
    o: StreamSubscribeOptions,
    ended: () => void,
  ): Promise<Subscription> {
    const { batchSize = 100, waitMs = 20_000, concurrency = 1 } = o;
    positive({ batchSize, concurrency });
    const connection = this.#connection;
    if (!(await this.exists())) {
      throw new NotFoundError('NOSTREAM', `no such stream '${this.name}'`);
    }
    await connection.send(['XGCREATE', this.name, group, 'START', position(o.from ?? 'beginning'), 'IFNX']);
    const onError =
      o.onError ?? ((error: Error) => connection.log('error', `stream ${this.name}, group ${group}: ${error.message}`));
    const stat = await connection.text<Record<string, number>>(['XSTAT', this.name, group]);
    const ackWait = Number(stat.ackwait);
    const member = `${connection.options.name ?? 'nexo'}-${randomUUID()}`;
    const offsets = (list: readonly HeldEntry[]): string[] => list.map(({ raw }) => String(raw[0]));
    const acks = new Batch<HeldEntry, boolean>(async (list) => {
      for (const epoch of new Set(list.map((held) => held.epoch))) {
        const same = list.filter((held) => held.epoch === epoch);
        // After a seek the acknowledgements of what came before it mean nothing any more.
        const args = ['XACK', this.name, group, ...offsets(same), 'EPOCH', String(epoch)];
        await settle(connection, () => connection.send(args)).catch((error: NexoError) => {
          if (error.code !== 'FENCED') throw error;
        });
      }
      return list.map(() => true);
    });
    const held = new Set<number>(); // an entry may come again while it waits here or its handler runs
    const letGo = (list: readonly HeldEntry[]): void => {
      for (const { raw } of list) held.delete(raw[0]);
    };
    const source: Source<HeldEntry> = {
      fetch: async (own, count) => {
        const args = ['XCONSUME', this.name, group, member, 'COUNT', String(count), 'BLOCK', milliseconds('waitMs', waitMs)];
        const [epoch, , entries] = await own.send<[number, number, RawDelivery[]]>(args, {
          timeoutMs: waitLimitMs(connection, waitMs),
        });
        const fresh = entries.filter((raw) => !held.has(raw[0]));
        for (const [offset] of fresh) held.add(offset);
        return fresh.map((raw) => ({ raw, epoch }));
      },
      handle: async (entry) => {
        try {
          await this.#handle(group, entry, callback, acks, onError);
        } finally {
          letGo([entry]);
        }
      },
      release: async (list) => {
        letGo(list);
        await connection.send(['XNACK', this.name, group, 'SILENT', 'IDS', String(list.length), ...offsets(list)]);
      },
      lost: letGo,
      // What the old connection was given and nobody has begun comes again at once.
      reconnected: async (own) => {
        await own.send(['XLEAVE', this.name, group, member]);
      },
      renew: async (list) => {
        if (ackWait > 0) {
          await connection.send(['XEXTEND', this.name, group, String(ackWait), ...offsets(list)]);
        }
      },
    };
    const consumer = new Consumer<HeldEntry>(
      connection,
      `${connection.options.name ?? 'nexo'}:stream:${this.name}:${group}`.replace(/[^\x21-\x7e]/g, '_'),
      source,
      { batchSize, concurrency, renewMs: ackWait > 0 ? Math.max(50, ackWait / 3) : 0, signal: o.signal, onError },
      () => {
        ended();
        this.#host.dismiss(consumer);
      },
    );
    this.#host.adopt(consumer); // also while it connects: the client may be closed meanwhile
    return consumer.start();
  }

  async #handle(
    group: string,
    held: HeldEntry,
    callback: (data: T, message: StreamMessage<T>) => unknown,
    acks: Batch<HeldEntry, boolean>,
    onError: (error: Error) => void,
  ): Promise<void> {
    const [offset, ms, attempts, payload] = held.raw;
    let data: T | undefined;
    let failure: Error | undefined;
    try {
      data = this.#decode(payload);
      if (this.#options.schema !== undefined) {
        data = await validate(this.#options.schema, data, `entry of ${this.name}`);
      }
    } catch (error) {
      failure = error as Error;
      data = undefined;
    }
    const unfit = failure !== undefined; // trying again cannot help
    const begin = { source: 'stream' as const, name: this.name, group, id: String(offset), attempt: attempts, data };
    await observed(this.#connection, begin, async () => {
      try {
        if (!unfit) {
          try {
            await callback(data as T, { seq: BigInt(offset), data: data as T, timestamp: new Date(ms), attempts });
          } catch (error) {
            failure = asError(error);
          }
        }
        if (failure === undefined) {
          await acks.add(held);
        } else {
          const reason = failure.message.slice(0, 1000) || String(failure);
          const args = ['XNACK', this.name, group, unfit ? 'FATAL' : 'FAIL', 'IDS', '1', String(offset), 'REASON', reason];
          if (!unfit) args.push('DELAY', String(Math.min(30_000, 200 * 2 ** attempts)));
          // Sent twice it would count twice: so it waits for a connection, and is not repeated.
          await this.#connection.connected();
          await this.#connection.send(args);
        }
      } catch (error) {
        // The entry comes back when its time to be acknowledged ends.
        onError(error as Error);
      }
      return failure;
    });
  }
}

function position(p: StreamPosition): string {
  if (p === 'beginning') return 'first';
  if (p === 'end') return 'next';
  return 'seq' in p ? String(p.seq) : `@${p.time.getTime()}`;
}
