import { attempt, isOne } from './calls.js';
import type { Arg, NexoConnection } from './connection.js';
import { Consumer, observed, type Source, type Subscription, waitLimitMs } from './consumer.js';
import { NexoDLQ } from './dlq.js';
import { NexoError, ValidationError } from './errors.js';
import { type HeldJob, Holding, JobMessage, type RawJob, Settler } from './job.js';
import { type CallOpts, milliseconds, positive, type TypedOptions } from './options.js';
import { Payloads } from './payload.js';
import { asError } from './thrown.js';

/** The delay between attempts. */
export type Backoff = 'none' | { type: 'fixed'; delayMs: number } | { type: 'exponential'; delayMs: number; maxMs: number };

export interface QueueConfig {
  /** How long a job may be worked on before it is given to another; renewed while a handler runs. Default 30,000. */
  visibilityTimeoutMs?: number;
  /** Deliveries in all, before a job goes to the dead-letter queue: 0 and 1 are one, without a retry. Default 5. */
  maxRetries?: number;
  /** Default exponential, from 1 s up to 5 min. */
  backoff?: Backoff;
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

/** The same, by another name. */
export type QueuePushOptions = AddOptions;

export interface SubscribeOptions {
  /**
   * Jobs held at a time, those being handled included; as many may have been handled whose acknowledgement is on its way.
   * Default 50.
   */
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

export interface NackOptions {
  /** Until the next attempt; default the queue's backoff. */
  delayMs?: number;
}

/** The same, by another name. */
export type QueueSubscribeOptions = SubscribeOptions;

/** A job as a handler gets it. When the handler settles nothing itself, it is acknowledged, or has failed if it throws. */
export interface QueueMessage<T = any> {
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
  nack(reason: string, o?: NackOptions): Promise<boolean>;
  /** Keeps the job for so long from now. */
  extend(milliseconds: number): Promise<boolean>;
  /** Given back as if it had not been taken. */
  release(): Promise<boolean>;
  /** Dead at once. */
  toDlq(reason: string): Promise<boolean>;
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

/** What a job can be. */
export type JobState = 'ready' | 'delayed' | 'inflight' | 'dead';

/** Which jobs to look at. */
export interface PeekOptions extends CallOpts {
  offset?: number;
  /** Default 10. */
  limit?: number;
}

export interface PeekedJob<T = any> {
  id: string;
  state: JobState;
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
  /** The queues that are subscribed to. */
  readonly subscribed: Set<string>;
  adopt(consumer: { stop(): Promise<void>; abandon(): void }): void;
  dismiss(consumer: { stop(): Promise<void>; abandon(): void }): void;
}

/** A durable queue of jobs. Pushing makes it; subscribing to one that does not exist is an error. */
export class NexoQueue<T = any> {
  readonly name: string;
  /** Jobs that have failed for good. */
  readonly dlq: NexoDLQ<T>;
  readonly #host: ConsumerHost;
  readonly #payloads: Payloads<T>;

  constructor(host: ConsumerHost, name: string, options: TypedOptions<T> = {}) {
    this.name = name;
    this.#host = host;
    this.#payloads = new Payloads(host.connection, options, `job of ${name}`);
    this.dlq = new NexoDLQ<T>(host.connection, name, (payload) => this.#payloads.decode(payload));
  }

  get #connection(): NexoConnection {
    return this.#host.connection;
  }

  /** Makes the queue. One that exists must have the same configuration, or none may be given. */
  create(config: QueueConfig = {}, o?: CallOpts): Promise<this> {
    return attempt(() => this.#connection.send(['QCREATE', this.name, ...configWords(config)], o, () => this));
  }

  /** Whether there is such a queue. */
  exists(o?: CallOpts): Promise<boolean> {
    return this.#connection.send(['QEXISTS', this.name], o, isOne);
  }

  /** Deletes the queue with all its jobs; false when there was none. */
  delete(o?: CallOpts): Promise<boolean> {
    return this.#connection.send(['QDROP', this.name], o, isOne);
  }

  /** Pushes a job. When the promise resolves it is as durable as the queue is. */
  push(data: T, o: AddOptions = {}): Promise<void> {
    return this.#add(data, o, () => undefined);
  }

  /** Pushes a job and answers its id. */
  add(data: T, o: AddOptions = {}): Promise<string> {
    // With an id of the application the answer is a pair, whose second part tells whether it was known.
    return this.#add<string>(data, o, (reply) => String(Array.isArray(reply) ? reply[0] : reply));
  }

  #add<V>(data: T, o: AddOptions, read: (reply: Buffer | [Buffer, number]) => V): Promise<V> {
    return attempt(() => {
      const words = pushWords(o);
      if (o.jobId !== undefined) words.push('DEDUP', o.jobId);
      return this.#payloads.send(data, (payload) => this.#connection.send(['QPUSH', this.name, payload, ...words], o, read));
    });
  }

  /** Pushes up to 1,000 jobs, all or none, and answers their ids. */
  addMany(items: readonly T[], o: PushOptions = {}): Promise<string[]> {
    return attempt(() => {
      if (items.length === 0) {
        return Promise.resolve([]);
      }
      const words = pushWords(o);
      return this.#payloads.sendAll(items, (payloads) => {
        const args: Arg[] = ['QMPUSH', this.name, String(payloads.length), ...payloads, ...words];
        return this.#connection.send<Buffer[], string[]>(args, o, (ids) => ids.map(String));
      });
    });
  }

  /**
   * Calls back for each job. It is acknowledged when the callback is done, and has failed when that throws. The
   * subscription survives a reconnect; one queue has one subscription of a client.
   */
  async subscribe(callback: (data: T, message: QueueMessage<T>) => unknown, o: SubscribeOptions = {}): Promise<Subscription> {
    return this.#consume(callback, o);
  }

  async #consume(callback: (data: T, message: JobMessage<T>) => unknown, o: SubscribeOptions): Promise<Consumer<HeldJob>> {
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
    callback: (data: T, message: JobMessage<T>) => unknown,
    o: SubscribeOptions,
    ended: () => void,
  ): Promise<Consumer<HeldJob>> {
    const { batchSize = 50, waitMs = 20_000, concurrency = 5 } = o;
    positive({ batchSize, concurrency });
    const wait = milliseconds('waitMs', waitMs);
    const connection = this.#connection;
    const config = await connection.text<Record<string, string>>(['QCONFIG', 'GET', this.name, 'lease']);
    const lease = Number(config.lease);
    const onError = o.onError ?? ((error: Error) => connection.log('error', `queue ${this.name}: ${error.message}`));
    const settler = new Settler(connection, this.name);
    let holding = new Holding();
    const source: Source<HeldJob> = {
      fetch: async (own, count) => {
        const args = ['QPOP', this.name, 'COUNT', String(count), 'BLOCK', wait, 'BIND', 'META'];
        const now = holding;
        const jobs = await own.send<RawJob[] | null>(args, { timeoutMs: waitLimitMs(connection, waitMs) });
        return (jobs ?? []).map((raw) => ({ raw, handle: raw[0].toString(), holding: now }));
      },
      handle: (held, handled) => this.#handle(held, handled, callback, settler, onError),
      release: async (list) => {
        await settler.release(list.map(({ handle }) => handle));
      },
      lost: () => {
        holding.lose();
        holding = new Holding();
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
    handled: () => void,
    callback: (data: T, message: JobMessage<T>) => unknown,
    settler: Settler,
    onError: (error: Error) => void,
  ): Promise<void> {
    const [, payload, attempts] = held.raw;
    let data: T | undefined;
    let unfit: Error | undefined;
    try {
      data = await this.#payloads.read(payload);
    } catch (error) {
      unfit = asError(error);
    }
    const message = new JobMessage<T>(held, data as T, settler);
    await observed(this.#connection, { source: 'queue', name: this.name, id: message.id, attempt: attempts, data }, async () => {
      let failure = unfit;
      if (unfit === undefined) {
        try {
          await callback(message.data, message);
        } catch (error) {
          failure = asError(error);
        }
      }
      try {
        // Trying again what does not fit cannot help.
        const settled = message.finish(failure, unfit !== undefined);
        handled();
        await settled;
      } catch (error) {
        // The job comes back when its lease ends.
        onError(asError(error));
      }
      return failure;
    });
  }

  /**
   * The jobs as an async iterable, until the signal is aborted or the client closed. Each must be settled by its own methods;
   * what is not when the loop ends is given back.
   */
  async *messages(o: SubscribeOptions = {}): AsyncGenerator<QueueMessage<T>> {
    const waiting: JobMessage<T>[] = [];
    const given = new Set<JobMessage<T>>();
    let wake: (() => void) | undefined;
    const giveBack = async (messages: Iterable<JobMessage<T>>): Promise<void> => {
      // Without a connection it is given back already.
      await Promise.all([...messages].map((message) => message.release().catch(() => false)));
    };
    const subscription = await this.#consume(
      (_, message) =>
        new Promise<void>((done, failed) => {
          message.onSettle = (settled) => {
            given.delete(message);
            settled.then(() => done(), failed);
          };
          waiting.push(message);
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

  /** Counts of jobs by state, and since the queue was made. */
  stats(o?: CallOpts): Promise<QueueStats> {
    return this.#connection.text<Record<string, string | number>, QueueStats>(['QINFO', this.name], o, (info) => {
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
    });
  }

  /** Gives out no jobs (default), takes none, or both. */
  pause(side: 'out' | 'in' | 'all' = 'out', o?: CallOpts): Promise<void> {
    return this.#connection.send(['QPAUSE', this.name, side.toUpperCase()], o, () => undefined);
  }

  /** Ends a pause, of both sides. */
  resume(o?: CallOpts): Promise<void> {
    return this.#connection.send(['QRESUME', this.name], o, () => undefined);
  }

  /** Deletes all jobs, or those in some states, and answers how many. */
  purge(states: readonly JobState[] = [], o?: CallOpts): Promise<number> {
    return this.#connection.send<number>(['QPURGE', this.name, ...states.map((state) => state.toUpperCase())], o);
  }

  /** Looks at jobs without taking them. */
  peek(state: JobState = 'ready', o: PeekOptions = {}): Promise<{ total: number; items: PeekedJob<T>[] }> {
    const { offset = 0, limit = 10 } = o;
    const args = ['QPEEK', this.name, 'STATE', state.toUpperCase(), 'OFFSET', String(offset), 'COUNT', String(limit)];
    type Reply = [total: number, next: number, jobs: Record<string, Buffer | number>[]];
    return this.#connection.send<Reply, { total: number; items: PeekedJob<T>[] }>(args, o, ([total, , jobs]) => ({
      total,
      items: jobs.map((job) => ({
        id: String(job.id),
        state: String(job.state) as JobState,
        data: this.#payloads.decode(job.payload as Buffer),
        priority: Number(job.priority),
        attempts: Number(job.attempts),
        pushedAt: new Date(Number(job['pushed-at'])),
        dueAt: Number(job['due-at']) === 0 ? null : new Date(Number(job['due-at'])),
        lastReason: String(job['last-reason']),
      })),
    }));
  }
}

function configWords(config: QueueConfig): string[] {
  const words: string[] = [];
  const duration = (word: string, name: string, value: number | undefined): void => {
    if (value !== undefined) words.push(word, milliseconds(name, value));
  };
  duration('LEASE', 'visibilityTimeoutMs', config.visibilityTimeoutMs);
  const { backoff, maxRetries } = config;
  if (maxRetries !== undefined) {
    if (!Number.isInteger(maxRetries) || maxRetries < 0) {
      throw new ValidationError(`maxRetries is ${maxRetries}, not a whole number from 0 on`);
    }
    words.push('MAXATTEMPTS', String(Math.max(1, maxRetries)));
  }
  if (backoff === 'none') words.push('BACKOFF', 'NONE');
  else if (backoff?.type === 'fixed') words.push('BACKOFF', 'FIXED', milliseconds('backoff.delayMs', backoff.delayMs));
  else if (backoff !== undefined) {
    words.push('BACKOFF', 'EXP', milliseconds('backoff.delayMs', backoff.delayMs), milliseconds('backoff.maxMs', backoff.maxMs));
  }
  duration('DLQTTL', 'dlqMaxAgeMs', config.dlqMaxAgeMs);
  duration('DEDUPWINDOW', 'dedupeWindowMs', config.dedupeWindowMs);
  if (config.maxLength !== undefined) words.push('MAXLEN', String(config.maxLength));
  return words.length === 0 ? ['IFNX'] : words;
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
