import { attempt, forgiving, isOne } from './calls.js';
import { type Arg, NexoConnection } from './connection.js';
import { Consumer, observed, type Subscription, settle, waitLimitMs } from './consumer.js';
import { AppendedRange, GroupInfo, StreamEntry, StreamInfo, StreamMessage } from './entries.js';
import { type NexoError, NotFoundError } from './errors.js';
import { type HeldEntry, Member } from './member.js';
import { type CallOpts, milliseconds, positive, type TypedOptions } from './options.js';
import { Payloads } from './payload.js';
import type { ConsumerHost } from './queue.js';
import { asError } from './thrown.js';

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

/** Options of appendMany(). */
export type AppendManyOptions = Omit<AppendOptions, 'id'>;

/** Which entries are read. */
export interface StreamReadOptions extends CallOpts {
  /** The first one; default the first there is. */
  from?: StreamPosition;
  /** The last one; default the last there is. */
  to?: StreamPosition;
  /** How many at most; default 100. */
  limit?: number;
}

/** Where a tail begins and what ends it. */
export interface TailOptions {
  /** Default the end. */
  from?: StreamPosition;
  signal?: AbortSignal;
}

export interface StreamSubscribeOptions {
  /**
   * Entries held at a time, those being handled included; as many may have been handled whose acknowledgement is on its way.
   * Default 100.
   */
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

type RawEntry = [offset: number, ms: number, payload: Buffer];
/** An append-only log. Publishing makes it; subscribing to one that does not exist is an error. */
export class NexoStream<T = any> {
  readonly name: string;
  readonly #host: ConsumerHost;
  readonly #payloads: Payloads<T>;

  constructor(host: ConsumerHost, name: string, options: TypedOptions<T> = {}) {
    this.name = name;
    this.#host = host;
    this.#payloads = new Payloads(host.connection, options, `entry of ${name}`);
  }

  get #connection(): NexoConnection {
    return this.#host.connection;
  }

  /** Makes the stream. One that exists must have the same configuration, or none may be given. */
  create(config: StreamConfig = {}, o?: CallOpts): Promise<this> {
    return attempt(() => {
      const args = ['XCREATE', this.name];
      const { maxAgeMs, maxBytes } = config.retention ?? {};
      if (maxAgeMs !== undefined) args.push('MAXAGE', milliseconds('maxAgeMs', maxAgeMs));
      if (maxBytes !== undefined) args.push('MAXBYTES', String(maxBytes));
      if (args.length === 2) args.push('IFNX');
      return this.#connection.send(args, o, () => this);
    });
  }

  /** Whether there is such a stream. */
  exists(o?: CallOpts): Promise<boolean> {
    return this.#connection.send(['XEXISTS', this.name], o, isOne);
  }

  /** Deletes the stream with its groups; false when there was none. */
  delete(o?: CallOpts): Promise<boolean> {
    return this.#connection.send(['XDROP', this.name], o, isOne);
  }

  /** Appends an entry. When the promise resolves it is as durable as the stream is. */
  publish(data: T, o: AppendOptions = {}): Promise<void> {
    return this.#append(data, o, () => undefined);
  }

  /** Appends an entry and answers its offset. */
  append(data: T, o: AppendOptions = {}): Promise<bigint> {
    // With an id of the application the answer is a pair, whose second part tells whether it was known.
    return this.#append(data, o, (reply) => BigInt(Array.isArray(reply) ? reply[0] : reply));
  }

  #append<V>(data: T, o: AppendOptions, read: (reply: number | [number, number]) => V): Promise<V> {
    return attempt(() => {
      const words: string[] = o.expectSeq === undefined ? [] : ['EXPECT', String(o.expectSeq)];
      if (o.id !== undefined) words.push('DEDUP', o.id);
      return this.#payloads.send(data, (payload) => this.#connection.send(['XAPPEND', this.name, payload, ...words], o, read));
    });
  }

  /** Appends entries, all or none, and answers the first and the last offset. */
  appendMany(items: readonly T[], o: AppendManyOptions = {}): Promise<AppendedRange> {
    return attempt(() => {
      positive({ 'the number of items': items.length });
      const words: string[] = o.expectSeq === undefined ? [] : ['EXPECT', String(o.expectSeq)];
      return this.#payloads.sendAll(items, (payloads) => {
        const args: Arg[] = ['XMAPPEND', this.name, String(payloads.length), ...payloads, ...words];
        return this.#connection.send<[number, number], AppendedRange>(args, o, ([first, last]) => new AppendedRange(first, last));
      });
    });
  }

  /** Moves a group: what it had under way is forgotten. */
  seek(group: string, to: StreamPosition, o?: CallOpts): Promise<void> {
    return attempt(() => this.#connection.send(['XSEEK', this.name, group, position(to)], o, () => undefined));
  }

  /** Reads entries without a group. */
  read(o: StreamReadOptions = {}): Promise<StreamEntry<T>[]> {
    return attempt(() => {
      const args = [
        'XFETCH',
        this.name,
        position(o.from ?? 'beginning'),
        'COUNT',
        String(o.limit ?? 100),
        'MAXBYTES',
        '16777216',
      ];
      if (o.to !== undefined) args.push('TO', o.to === 'end' ? 'last' : position(o.to));
      type Reply = [number, number, number, RawEntry[]];
      return this.#connection.send<Reply, StreamEntry<T>[]>(args, o, ([, , , entries]) =>
        entries.map((entry) => this.#entry(entry)),
      );
    });
  }

  #entry([offset, ms, payload]: RawEntry): StreamEntry<T> {
    return new StreamEntry<T>(offset, ms, this.#payloads.decode(payload));
  }

  /**
   * The entries from a place on (default the end), and those that are appended later, as an async iterable, until the signal is
   * aborted or the client closed. It goes on after a loss of the connection, without gap or repetition.
   */
  async *tail(o: TailOptions = {}): AsyncGenerator<StreamEntry<T>> {
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
  info(o?: CallOpts): Promise<StreamInfo> {
    return this.#connection.text(['XSTAT', this.name], o, (stat: Record<string, unknown>) => new StreamInfo(stat));
  }

  /** How far a group is. */
  group(name: string, o?: CallOpts): Promise<GroupInfo> {
    return this.#connection.text(['XSTAT', this.name, name], o, (stat: Record<string, unknown>) => new GroupInfo(name, stat));
  }

  /** How far each group is, in the order of their names. */
  groups(o?: CallOpts): Promise<GroupInfo[]> {
    return forgiving(async () => {
      const stat = await this.#connection.text<{ 'group-names': string[] }>(['XSTAT', this.name], o);
      const groups = stat['group-names'].map((group) =>
        this.group(group, o).catch((error: NexoError) => {
          if (error.code !== 'NOGROUP') throw error;
          return undefined; // dropped since its name was told
        }),
      );
      return (await Promise.all(groups)).filter((group) => group !== undefined);
    });
  }

  /**
   * Calls back for each entry as a member of a group, which is made when there is none. An entry is acknowledged when the
   * callback is done; when it throws the entry comes again, and after five deliveries it is parked. Each subscription is a
   * member of its own, also two of one client to the same group, which share its entries.
   */
  async subscribe(
    group: string,
    callback: (data: T, message: StreamMessage<T>) => unknown,
    o: StreamSubscribeOptions = {},
  ): Promise<Subscription> {
    const { batchSize = 100, waitMs = 20_000, concurrency = 1 } = o;
    positive({ batchSize, concurrency });
    milliseconds('waitMs', waitMs);
    const connection = this.#connection;
    if (!(await this.exists())) {
      throw new NotFoundError('NOSTREAM', `no such stream '${this.name}'`);
    }
    await connection.send(['XGCREATE', this.name, group, 'START', position(o.from ?? 'beginning'), 'IFNX']);
    const onError =
      o.onError ?? ((error: Error) => connection.log('error', `stream ${this.name}, group ${group}: ${error.message}`));
    const stat = await connection.text<Record<string, number>>(['XSTAT', this.name, group]);
    const ackWaitMs = Number(stat.ackwait);
    const member = new Member(connection, { stream: this.name, group, ackWaitMs, waitMs }, (own, entry, handled) =>
      this.#handle(group, own, entry, handled, callback, onError),
    );
    const consumer = new Consumer<HeldEntry>(
      connection,
      `${connection.options.name ?? 'nexo'}:stream:${this.name}:${group}`.replace(/[^\x21-\x7e]/g, '_'),
      member,
      { batchSize, concurrency, renewMs: ackWaitMs > 0 ? Math.max(50, ackWaitMs / 3) : 0, signal: o.signal, onError },
      () => this.#host.dismiss(consumer),
    );
    this.#host.adopt(consumer); // also while it connects: the client may be closed meanwhile
    return consumer.start();
  }

  async #handle(
    group: string,
    member: Member,
    held: HeldEntry,
    handled: () => void,
    callback: (data: T, message: StreamMessage<T>) => unknown,
    onError: (error: Error) => void,
  ): Promise<void> {
    const [offset, ms, attempt, payload] = held.raw;
    let data: T | undefined;
    let unfit: Error | undefined;
    try {
      data = await this.#payloads.read(payload);
    } catch (error) {
      unfit = asError(error);
    }
    const begin = { source: 'stream' as const, name: this.name, group, id: String(offset), attempt, data };
    await observed(this.#connection, begin, async () => {
      let failure = unfit;
      if (unfit === undefined) {
        try {
          await callback(data as T, new StreamMessage<T>(offset, ms, data as T, attempt));
        } catch (error) {
          failure = asError(error);
        }
      }
      try {
        const settled = failure === undefined ? member.acknowledge(held) : member.fail(held, failure, unfit !== undefined);
        handled();
        await settled;
      } catch (error) {
        // The entry comes back when its time to be acknowledged ends.
        onError(asError(error));
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
