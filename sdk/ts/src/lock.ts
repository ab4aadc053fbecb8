import { randomUUID } from 'node:crypto';
import { forgiving } from './calls.js';
import type { NexoConnection } from './connection.js';
import { settle } from './consumer.js';
import { isAway, ValidationError } from './errors.js';
import { type CallOpts, fromZero, milliseconds } from './options.js';
import type { ConsumerHost } from './queue.js';
import { after, pause, type Timer } from './timers.js';

export interface LockOptions {
  /** How long the lock outlives its holder's process or connection; renewed while it is held. Default 30,000. */
  ttlMs?: number;
  /** How long to wait for somebody else to let it go; default 0, Infinity is without limit. */
  waitMs?: number;
  /** Ends the wait: the call is rejected. It does not let go of a lock that is held. */
  signal?: AbortSignal;
}

const shortestTtlMs = 100;
/** Waiting ones ask again after so long, and then after longer. */
const firstPauseMs = 10;
const longestPauseMs = 250;

/**
 * A lock that is held: nobody else gets it until it is released, or has not been renewed for its time. It is renewed three times
 * as often as it has to be. `signal` is aborted before anybody else can have it; what must not be done by two has to listen to
 * that. A process that stands still (a blocked event loop, a suspended machine) learns of it when it goes on: where that would
 * do harm, what is done under the lock has to be safe in itself.
 *
 * The key `lock:name` holds who has it. Where the store is only in memory a restart of the server frees it, and an eviction may.
 */
export class NexoLock implements AsyncDisposable {
  readonly name: string;
  readonly #host: ConsumerHost;
  readonly #token: string;
  readonly #ttlMs: number;
  readonly #lost = new AbortController();
  #renewal: Timer | undefined;
  #end: Timer | undefined;
  #released: Promise<boolean> | undefined;

  constructor(host: ConsumerHost, name: string, token: string, ttlMs: number, since: number) {
    this.#host = host;
    this.name = name;
    this.#token = token;
    this.#ttlMs = ttlMs;
    host.adopt(this);
    this.#hold(since);
  }

  /** Aborted when somebody else may have the lock, or it was released. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Whether it is held still. */
  get isHeld(): boolean {
    return !this.signal.aborted;
  }

  /** It is ours for its time since then. */
  #hold(since: number): void {
    this.#end?.cancel();
    this.#end = after(since + this.#ttlMs - performance.now(), () => this.abandon());
    this.#renewal = after(this.#ttlMs / 3, () => void this.#renew());
  }

  async #renew(): Promise<void> {
    const since = performance.now();
    const args = ['NSET', keyOf(this.name), this.#token, 'IFEQ', this.#token, 'PX', milliseconds('ttlMs', this.#ttlMs)];
    try {
      const isOurs = await this.#host.connection.send(args, { timeoutMs: this.#ttlMs / 3 }, (reply) => reply !== null);
      if (!this.isHeld) return;
      if (isOurs) this.#hold(since);
      else this.abandon();
    } catch {
      // There is time for another attempt or two: then #end tells.
      if (this.isHeld) this.#renewal = after(this.#ttlMs / 12, () => void this.#renew());
    }
  }

  /** Lets go. False when it was not ours any more: what was done meanwhile may have been done by another, too. */
  release(): Promise<boolean> {
    this.#released ??= this.#release();
    return this.#released;
  }

  #release(): Promise<boolean> {
    const wasHeld = this.isHeld;
    this.abandon();
    return forgiving(async () => {
      const { connection } = this.#host;
      const args = ['NDEL', keyOf(this.name), 'IFEQ', this.#token];
      return (await settle(connection, () => connection.send<number>(args))) === 1 && wasHeld;
    });
  }

  /** Lets go when the client is closed. */
  async stop(): Promise<void> {
    await this.release().catch(() => undefined); // then its time ends it
  }

  /** Does not count on it any more, and tells nobody but the holder. */
  abandon(): void {
    this.#renewal?.cancel();
    this.#end?.cancel();
    this.#lost.abort();
    this.#host.dismiss(this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** Asks for a lock until it is there, or the time to wait is over: null. */
export async function acquireLock(host: ConsumerHost, name: string, o: LockOptions): Promise<NexoLock | null> {
  const { ttlMs = 30_000, waitMs = 0, signal } = o;
  if (!(ttlMs >= shortestTtlMs)) {
    fromZero('ttlMs', ttlMs);
    throw new ValidationError(`ttlMs is ${ttlMs}, less than ${shortestTtlMs}`);
  }
  const ttl = milliseconds('ttlMs', ttlMs);
  fromZero('waitMs', waitMs);
  signal?.throwIfAborted();
  const { connection } = host;
  const token = `${connection.options.name ?? 'nexo'} ${randomUUID()}`;
  const deadline = performance.now() + waitMs;
  const call: CallOpts = signal === undefined ? {} : { signal };
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
    const since = performance.now();
    let isOurs: boolean;
    try {
      isOurs = await connection.send(['NSET', keyOf(name), token, 'NX', 'PX', ttl], call, (reply) => reply !== null);
    } catch (error) {
      // It may be ours all the same, and nobody would know.
      if (isAway(error) || signal?.aborted) forget(connection, name, token);
      throw error;
    }
    if (isOurs) {
      return new NexoLock(host, name, token, ttlMs, since);
    }
    const left = deadline - performance.now();
    if (left <= 0) {
      return null;
    }
    await pause(Math.min(left, pauseMs * (0.5 + Math.random())), signal);
    signal?.throwIfAborted();
  }
}

function keyOf(name: string): string {
  return `lock:${name}`;
}

function forget(connection: NexoConnection, name: string, token: string): void {
  const args = ['NDEL', keyOf(name), 'IFEQ', token];
  settle(connection, () => connection.send(args)).catch(() => undefined); // then its time ends it
}
