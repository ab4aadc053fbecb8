import { decode, encodeArg } from './codec.js';
import type { Arg, NexoConnection } from './connection.js';
import { asError, Batch, Consumer, observed, type Source, type Subscription, settle } from './consumer.js';
import { NexoError, ValidationError } from './errors.js';
import { type CallOpts, milliseconds, type TypedOptions, validate } from './options.js';

export interface QueueConfig {
  /** How long a job may be worked on before it is given to another; renewed while a handler runs. Default 30,000. */
  visibilityTimeoutMs?: number;
  /** Attempts after the first one, before a job goes to the dead-letter queue. Default 4. */
  maxRetries?: number;
  /** Delay between attempts; default exponential, from 1 s up to 5 min. */
  backoff?: 'none' | { type: 'fixed'; delayMs: number } | { type: 'exponential'; delayMs: number; maxMs: number };
  /** How long dead jobs are kept; default for ever. */
  dlqMaxAgeMs?: number;
  /** How long a jobId keeps others with the same one away; default 5 min. */
  dedupeWindowMs?: number;
  /** Jobs that the queue takes; default no limit. */
  maxLength?: number;
}

export interface PushOptions extends CallOpts {
  /** 0 to 255, the highest first. Default 0. */
  priority?: number;
  delayMs?: number;
  /** Instead of delayMs. */
  runAt?: Date;
  /** The job is dropped when nobody has begun it by then. */
  ttlMs?: number;
}

export interface AddOptions extends PushOptions {
  /** A second job with this id within the dedupe window is not added; the first one's id is answered. */
  jobId?: string;
}

export interface SubscribeOptions {
  /** Jobs held at a time, those being handled included. Default 50. */
  batchSize?: number;
  /** Longest wait of one request for jobs. Default 20,000. */
  waitMs?: number;
  /** Handlers at a time. Default 5; with 1 jobs are handled in order. */
  concurrency?: number;
  /** Stops the subscription. */
  signal?: AbortSignal;
  /** Renews the leases of jobs that wait or are handled. Default true. */
  autoExtend?: boolean;
  /** What went wrong beside the handlers; default the logger. */
  onError?: (error: Error) => void;
}

/** A job as a handler gets it. When the handler settles nothing itself, it is acknowledged, or has failed if it throws. */
export interface QueueMessage<T> {
  readonly id: string;
  readonly data: T;
  /** 1 the first time. */
  readonly attempts: number;
  readonly enqueuedAt: Date;
  /** Aborted when the connection that holds the job is gone: somebody else may be working on it. */
  readonly signal: AbortSignal;
  /** Done. False when the job is no longer ours, or was settled already. A broken connection is waited for. */
  ack(): Promise<boolean>;
  /** Failed: tried again later, or dead after the last attempt. */
  nack(reason: string, o?: { delayMs?: number }): Promise<boolean>;
  /** Keeps the job for so long from now. */
  extend(milliseconds: number): Promise<boolean>;
  /** Given back as if it had not been taken. */
  release(): Promise<boolean>;
  /** Dead at once. */
  toDlq(reason: string): Promise<boolean>;
}

export interface DeadJob<T> {
  id: string;
  data: T;
  attempts: number;
  failureReason: string;
  failedAt: Date;
  priority: number;
}

export interface QueueStats {
  ready: number;
  delayed: number;
  inflight: number;
  dead: number;
  waiters: number;
  bytes: number;
  oldestReadyMs: number;
  paused: string;
  pushed: number;
  acked: number;
}

export interface PeekedJob<T> {
  id: string;
  state: string;
  data: T;
  priority: number;
  attempts: number;
  pushedAt: Date;
  dueAt: Date | null;
  lastReason: string;
}

/** What a queue needs of its client. */
export interface ConsumerHost {
  readonly connection: NexoConnection;
  /** What is subscribed to: `queue name`, or `stream name` and its group. */
  readonly subscribed: Set<string>;
  adopt(consumer: { stop(): Promise<void>; abandon(): void }): void;
  dismiss(consumer: { stop(): Promise<void>; abandon(): void }): void;
}

/** A durable queue of jobs. Pushing makes it; subscribing to one that does not exist is an error. */
export class NexoQueue<T = unknown> {
  readonly name: string;
  /** Jobs that have failed for good. */
  readonly dlq: NexoDLQ<T>;
  readonly #host: ConsumerHost;
  readonly #options: TypedOptions<T>;

  constructor(host: ConsumerHost, name: string, options: TypedOptions<T> = {}) {
    this.name = name;
    this.#host = host;
    this.#options = options;
    this.dlq = new NexoDLQ<T>(host.connection, name, (payload) => this.#decode(payload));
  }

  get #connection(): NexoConnection {
    return this.#host.connection;
  }

  #decode(payload: Buffer): T {
    return decode<T>(payload, this.#options.as ?? this.#connection.options.codec);
  }

  async #encode(data: T): Promise<Arg> {
    const value = await validate(this.#options.schema, data, `job of ${this.name}`);
    return encodeArg(value, this.#options.as ?? this.#connection.options.codec);
  }

  /** Makes the queue. One that exists must have the same configuration, or none may be given. */
  async create(config: QueueConfig = {}, o?: CallOpts): Promise<this> {
    const args = ['QCREATE', this.name];
    const duration = (word: string, name: string, value: number | undefined): void => {
      if (value !== undefined) args.push(word, milliseconds(name, value));
    };
    duration('LEASE', 'visibilityTimeoutMs', config.visibilityTimeoutMs);
    if (config.maxRetries !== undefined) args.push('MAXATTEMPTS', String(config.maxRetries + 1));
    const { backoff } = config;
    if (backoff === 'none') args.push('BACKOFF', 'NONE');
    else if (backoff?.type === 'fixed') args.push('BACKOFF', 'FIXED', milliseconds('backoff.delayMs', backoff.delayMs));
    else if (backoff !== undefined) {
      args.push('BACKOFF', 'EXP', milliseconds('backoff.delayMs', backoff.delayMs), milliseconds('backoff.maxMs', backoff.maxMs));
    }
    duration('DLQTTL', 'dlqMaxAgeMs', config.dlqMaxAgeMs);
    duration('DEDUPWINDOW', 'dedupeWindowMs', config.dedupeWindowMs);
    if (config.maxLength !== undefined) args.push('MAXLEN', String(config.maxLength));
    if (args.length === 2) args.push('IFNX');
    await this.#connection.send(args, o);
    return this;
  }

  /** Whether there is such a queue. */
  async exists(o?: CallOpts): Promise<boolean> {
    return (await this.#connection.send<number>(['QEXISTS', this.name], o)) === 1;
  }

  /** Deletes the queue with all its jobs; false when there was none. */
  async delete(o?: CallOpts): Promise<boolean> {
    return (await this.#connection.send<number>(['QDROP', this.name], o)) === 1;
  }

  /** Pushes a job. When the promise resolves it is as durable as the queue is. */
  async push(data: T, o?: AddOptions): Promise<void> {
    await this.add(data, o);
  }

  /** Pushes a job and answers its id. */
  async add(data: T, o: AddOptions = {}): Promise<string> {
    const args: Arg[] = ['QPUSH', this.name, await this.#encode(data), ...pushWords(o)];
    if (o.jobId === undefined) {
      return String(await this.#connection.send(args, o));
    }
    const [id] = await this.#connection.send<[Buffer, number]>([...args, 'DEDUP', o.jobId], o);
    return id.toString();
  }

  /** Pushes up to 1,000 jobs, all or none, and answers their ids. */
  async addMany(items: readonly T[], o: PushOptions = {}): Promise<string[]> {
    if (items.length === 0) {
      return [];
    }
    const payloads = await Promise.all(items.map((item) => this.#encode(item)));
    const args: Arg[] = ['QMPUSH', this.name, String(items.length), ...payloads, ...pushWords(o)];
    return (await this.#connection.send<Buffer[]>(args, o)).map(String);
  }

  /**
   * Calls back for each job. It is acknowledged when the callback is done, and has failed when that throws. The
   * subscription survives a reconnect; one queue has one subscription of a client.
   */
  async subscribe(callback: (data: T, message: QueueMessage<T>) => unknown, o: SubscribeOptions = {}): Promise<Subscription> {
    return this.#consume(callback, o);
  }

  async #consume(callback: (data: T, message: QueueMessage<T>) => unknown, o: SubscribeOptions): Promise<Consumer<HeldJob>> {
    const { subscribed } = this.#host;
    const key = `queue ${this.name}`;
    if (subscribed.has(key)) {
      throw new NexoError('SUBSCRIBED', `there is a subscription to queue "${this.name}" already`);
    }
    subscribed.add(key);
    try {
      return await this.#subscribe(callback, o, () => subscribed.delete(key));
    } catch (error) {
      subscribed.delete(key);
      throw error;
    }
  }

  async #subscribe(
    callback: (data: T, message: QueueMessage<T>) => unknown,
    o: SubscribeOptions,
    ended: () => void,
  ): Promise<Consumer<HeldJob>> {
    const { batchSize = 50, waitMs = 20_000, concurrency = 5 } = o;
    positive({ batchSize, concurrency });
    const connection = this.#connection;
    const config = await connection.text<Record<string, string>>(['QCONFIG', 'GET', this.name, 'lease']);
    const lease = Number(config.lease);
    const onError = o.onError ?? ((error: Error) => connection.log('error', `queue ${this.name}: ${error.message}`));
    const settler = new Settler(connection, this.name);
    let generation = new AbortController();
    const source: Source<HeldJob> = {
      fetch: async (own, count) => {
        const args = ['QPOP', this.name, 'COUNT', String(count), 'BLOCK', milliseconds('waitMs', waitMs), 'BIND', 'META'];
        const { signal } = generation;
        const jobs = await own.send<RawJob[] | null>(args, { timeoutMs: waitLimitMs(connection, waitMs) });
        return (jobs ?? []).map((raw) => ({ raw, handle: raw[0].toString(), signal }));
      },
      handle: (held) => this.#handle(held, callback, settler, onError),
      release: async (list) => {
        await settler.many(
          'release',
          list.map(({ handle }) => handle),
        );
      },
      lost: () => {
        generation.abort();
        generation = new AbortController();
      },
      reconnected: async () => {},
      renew: async (list) => {
        await connection.send(['QEXTEND', this.name, String(lease), ...list.map(({ handle }) => handle)]);
      },
    };
    const consumer = new Consumer<HeldJob>(
      connection,
      `${connection.options.name ?? 'nexo'}:queue:${this.name}`.replace(/[^\x21-\x7e]/g, '_'),
      source,
      { batchSize, concurrency, renewMs: o.autoExtend === false ? 0 : Math.max(50, lease / 3), signal: o.signal, onError },
      () => {
        ended();
        this.#host.dismiss(consumer);
      },
    );
    this.#host.adopt(consumer); // also while it connects: the client may be closed meanwhile
    return consumer.start();
  }

  async #handle(
    held: HeldJob,
    callback: (data: T, message: QueueMessage<T>) => unknown,
    settler: Settler,
    onError: (error: Error) => void,
  ): Promise<void> {
    const [, payload, attempt, meta] = held.raw;
    const id = held.handle.slice(0, held.handle.indexOf('-'));
    let data: T | undefined;
    let unfit: Error | undefined;
    try {
      data = this.#decode(payload);
      if (this.#options.schema !== undefined) {
        data = await validate(this.#options.schema, data, `job of ${this.name}`);
      }
    } catch (error) {
      unfit = error as Error;
      data = undefined;
    }
    await observed(this.#connection, { source: 'queue', name: this.name, id, attempt, data }, async () => {
      let failure = unfit;
      try {
        if (unfit !== undefined) {
          // Trying again cannot help.
          await settler.nack(held.handle, { reason: unfit.message, dead: true });
          return failure;
        }
        let settled = false;
        const once = (run: () => Promise<boolean>): Promise<boolean> => {
          settled = true;
          return run();
        };
        const message: QueueMessage<T> = {
          id,
          data: data as T,
          attempts: attempt,
          enqueuedAt: new Date(Number(meta['pushed-at'])),
          signal: held.signal,
          ack: () => once(() => settler.ack(held.handle)),
          nack: (reason, n) => once(() => settler.nack(held.handle, { reason, ...n })),
          extend: (ms) => settler.extend(held.handle, ms),
          release: () => once(() => settler.many('release', [held.handle]).then((n) => n === 1)),
          toDlq: (reason) => once(() => settler.nack(held.handle, { reason, dead: true })),
        };
        try {
          await callback(message.data, message);
        } catch (error) {
          failure = asError(error);
        }
        if (!settled) {
          if (failure === undefined) await settler.ack(held.handle);
          else await settler.nack(held.handle, { reason: failure.message || String(failure) });
        }
      } catch (error) {
        // The job comes back when its lease ends.
        onError(error as Error);
      }
      return failure;
    });
  }

  /**
   * The jobs as an async iterable, until the signal is aborted or the client closed. Each must be settled by its own methods;
   * what is not when the loop ends is given back.
   */
  async *messages(o: SubscribeOptions = {}): AsyncGenerator<QueueMessage<T>> {
    const waiting: QueueMessage<T>[] = [];
    const given = new Set<QueueMessage<T>>();
    let wake: (() => void) | undefined;
    const giveBack = async (messages: Iterable<QueueMessage<T>>): Promise<void> => {
      // Without a connection it is given back already.
      await Promise.all([...messages].map((message) => message.release().catch(() => false)));
    };
    const subscription = await this.#consume(
      (_, message) =>
        new Promise<void>((done) => {
          const ended =
            <A extends unknown[]>(run: (...a: A) => Promise<boolean>) =>
            async (...a: A): Promise<boolean> => {
              given.delete(own);
              try {
                return await run(...a);
              } finally {
                done();
              }
            };
          const own: QueueMessage<T> = {
            ...message,
            ack: ended(message.ack),
            nack: ended(message.nack),
            release: ended(message.release),
            toDlq: ended(message.toDlq),
          };
          waiting.push(own);
          wake?.();
        }),
      { concurrency: o.batchSize ?? 50, ...o },
    );
    const { stopping } = subscription;
    stopping.addEventListener('abort', () => wake?.(), { once: true });
    try {
      while (!stopping.aborted) {
        const next = waiting.shift();
        if (next === undefined) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          continue;
        }
        given.add(next);
        yield next;
      }
    } finally {
      const stopped = subscription.stop();
      await giveBack([...given, ...waiting]);
      await stopped;
    }
  }

  /** Counts of jobs by state, and since the server began. */
  async stats(o?: CallOpts): Promise<QueueStats> {
    const info = await this.#connection.text<Record<string, string | number>>(['QINFO', this.name], o);
    const number = (name: string): number => Number(info[name] ?? 0);
    return {
      ready: number('ready'),
      delayed: number('delayed'),
      inflight: number('inflight'),
      dead: number('dead'),
      waiters: number('waiters'),
      bytes: number('bytes'),
      oldestReadyMs: number('oldest-ready-ms'),
      paused: String(info.paused),
      pushed: number('pushed'),
      acked: number('acked'),
    };
  }

  /** Gives out no jobs (default), takes none, or both. */
  async pause(side: 'out' | 'in' | 'all' = 'out', o?: CallOpts): Promise<void> {
    await this.#connection.send(['QPAUSE', this.name, side.toUpperCase()], o);
  }

  /** Ends a pause, of both sides. */
  async resume(o?: CallOpts): Promise<void> {
    await this.#connection.send(['QRESUME', this.name], o);
  }

  /** Deletes all jobs, or those in some states, and answers how many. */
  async purge(states: readonly ('ready' | 'delayed' | 'inflight' | 'dead')[] = [], o?: CallOpts): Promise<number> {
    return this.#connection.send<number>(['QPURGE', this.name, ...states.map((state) => state.toUpperCase())], o);
  }

  /** Looks at jobs without taking them. */
  async peek(
    state: 'ready' | 'delayed' | 'inflight' | 'dead' = 'ready',
    o: { offset?: number; limit?: number } & CallOpts = {},
  ): Promise<{ total: number; items: PeekedJob<T>[] }> {
    const args = [
      'QPEEK',
      this.name,
      'STATE',
      state.toUpperCase(),
      'OFFSET',
      String(o.offset ?? 0),
      'COUNT',
      String(o.limit ?? 10),
    ];
    const [total, , jobs] = await this.#connection.send<[number, number, Record<string, Buffer | number>[]]>(args, o);
    const items = jobs.map((job) => ({
      id: String(job.id),
      state: String(job.state),
      data: this.#decode(job.payload as Buffer),
      priority: Number(job.priority),
      attempts: Number(job.attempts),
      pushedAt: new Date(Number(job['pushed-at'])),
      dueAt: Number(job['due-at']) === 0 ? null : new Date(Number(job['due-at'])),
      lastReason: String(job['last-reason']),
    }));
    return { total, items };
  }
}

type RawJob = [handle: Buffer, payload: Buffer, attempt: number, meta: Record<string, number>];

interface HeldJob {
  raw: RawJob;
  handle: string;
  signal: AbortSignal;
}

/** Settles jobs, those of one turn of the event loop with one command. */
class Settler {
  readonly #connection: NexoConnection;
  readonly #queue: string;
  readonly #acks: Batch<string, boolean>;

  constructor(connection: NexoConnection, queue: string) {
    this.#connection = connection;
    this.#queue = queue;
    this.#acks = new Batch(async (handles) => {
      const counts = await settle(connection, () => connection.send<number[]>(['QACK', queue, ...handles, 'EACH']));
      return counts.map((count) => count === 1);
    });
  }

  ack(handle: string): Promise<boolean> {
    return this.#acks.add(handle);
  }

  async nack(handle: string, o: { reason: string; delayMs?: number; dead?: boolean }): Promise<boolean> {
    const args = ['QNACK', this.#queue, handle, 'REASON', o.reason.slice(0, 1000)];
    if (o.delayMs !== undefined) args.push('DELAY', milliseconds('delayMs', o.delayMs));
    if (o.dead) args.push('DEAD');
    return (await settle(this.#connection, () => this.#connection.send<number>(args))) === 1;
  }

  async extend(handle: string, ms: number): Promise<boolean> {
    return (await this.#connection.send<number>(['QEXTEND', this.#queue, milliseconds('extend', ms), handle])) === 1;
  }

  async many(_: 'release', handles: string[]): Promise<number> {
    return settle(this.#connection, () => this.#connection.send<number>(['QNACK', this.#queue, ...handles, 'RELEASE']));
  }
}

/** The dead-letter queue: jobs that failed for good, the last one first. */
export class NexoDLQ<T = unknown> {
  readonly #connection: NexoConnection;
  readonly #queue: string;
  readonly #decode: (payload: Buffer) => T;

  constructor(connection: NexoConnection, queue: string, decodePayload: (payload: Buffer) => T) {
    this.#connection = connection;
    this.#queue = queue;
    this.#decode = decodePayload;
  }

  /** Looks at dead jobs without moving them; `match` is a text in the payload or in the reason,
   * looked for in the first 10,000. */
  async peek(limit = 10, offset = 0, o: { match?: string } & CallOpts = {}): Promise<{ total: number; items: DeadJob<T>[] }> {
    const args = ['QDLQ', 'LIST', this.#queue, 'OFFSET', String(offset), 'COUNT', String(limit)];
    if (o.match !== undefined) args.push('MATCH', o.match);
    type Entry = [id: Buffer, payload: Buffer, attempts: number, reason: Buffer, failedAt: number, priority: number];
    const [total, entries] = await this.#connection.send<[number, Entry[]]>(args, o);
    const items = entries.map(([id, payload, attempts, reason, failedAt, priority]) => ({
      id: id.toString(),
      data: this.#decode(payload),
      attempts,
      failureReason: reason.toString(),
      failedAt: new Date(failedAt),
      priority,
    }));
    return { total, items };
  }

  /** Makes a dead job ready again; false when there is no such one. */
  async moveToQueue(id: string, o?: CallOpts): Promise<boolean> {
    return (await this.#connection.send<number>(['QDLQ', 'REPLAY', this.#queue, id], o)) === 1;
  }

  /** Deletes a dead job; false when there is no such one. */
  async delete(id: string, o?: CallOpts): Promise<boolean> {
    return (await this.#connection.send<number>(['QDLQ', 'DEL', this.#queue, id], o)) === 1;
  }

  /** Deletes all dead jobs and answers how many. */
  async purge(o?: CallOpts): Promise<number> {
    return this.#connection.send<number>(['QDLQ', 'PURGE', this.#queue], o);
  }

  /** Makes dead jobs ready again: all, those with a text in the payload or in the reason, or so many; answers how many. */
  async replayAll(o: { filter?: string; limit?: number } & CallOpts = {}): Promise<number> {
    if (o.filter === undefined && o.limit === undefined) {
      return this.#connection.send<number>(['QDLQ', 'REPLAY', this.#queue, 'ALL'], o);
    }
    // All are found before any is replayed: those that die again meanwhile are not replayed again.
    const ids = await this.#find(o.filter, o.limit ?? Number.POSITIVE_INFINITY, o);
    let replayed = 0;
    for (let i = 0; i < ids.length; i += 1000) {
      const args = ['QDLQ', 'REPLAY', this.#queue, ...ids.slice(i, i + 1000)];
      replayed += await this.#connection.send<number>(args, o);
    }
    return replayed;
  }

  /** The ids of dead jobs, the newest first. */
  async #find(text: string | undefined, limit: number, o: CallOpts): Promise<string[]> {
    const ids = new Set<string>(); // pages overlap when jobs die meanwhile
    let offset = 0;
    while (offset >= 0 && ids.size < limit) {
      const args = ['QPEEK', this.#queue, 'STATE', 'DEAD', 'OFFSET', String(offset), 'COUNT', '1000'];
      if (text !== undefined) args.push('MATCH', text);
      const [, next, jobs] = await this.#connection.send<[number, number, { id: number }[]]>(args, o);
      for (const { id } of jobs) {
        if (ids.size < limit) ids.add(String(id));
      }
      offset = next;
    }
    return [...ids];
  }
}

function pushWords(o: PushOptions): string[] {
  const words: string[] = [];
  if (o.priority !== undefined) {
    if (!Number.isInteger(o.priority) || o.priority < 0 || o.priority > 255) {
      throw new ValidationError(`priority is ${o.priority}, not a whole number from 0 to 255`);
    }
    words.push('PRIORITY', String(o.priority));
  }
  if (o.delayMs !== undefined && o.runAt !== undefined) {
    throw new ValidationError('delayMs and runAt cannot both be given');
  }
  if (o.delayMs !== undefined) words.push('DELAY', milliseconds('delayMs', o.delayMs));
  if (o.runAt !== undefined) words.push('AT', milliseconds('runAt', o.runAt.getTime()));
  if (o.ttlMs !== undefined) words.push('TTL', milliseconds('ttlMs', o.ttlMs));
  return words;
}

/** How long a request may take that waits so long for messages; 0 is without limit. */
export function waitLimitMs(connection: NexoConnection, waitMs: number): number {
  return waitMs === 0 ? 0 : waitMs + (connection.options.requestTimeoutMs ?? 15_000);
}

/** Refuses numbers that are not whole and at least 1. */
export function positive(numbers: Record<string, number>): void {
  for (const [name, value] of Object.entries(numbers)) {
    if (!Number.isInteger(value) || value < 1) {
      throw new ValidationError(`${name} is ${value}, not a whole number from 1 on`);
    }
  }
}
