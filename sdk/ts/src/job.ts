import { attempt, forgiving, isOne } from './calls.js';
import type { NexoConnection } from './connection.js';
import { Batch, settle } from './consumer.js';
import { isAway } from './errors.js';
import { milliseconds } from './options.js';
import type { NackOptions, QueueMessage } from './queue.js';
import { asError, reasonOf } from './thrown.js';

export type RawJob = [handle: Buffer, payload: Buffer, attempt: number, meta: Record<string, number>];

/** A job as it was fetched. */
export interface HeldJob {
  raw: RawJob;
  handle: string;
  holding: Holding;
}

/**
 * What the jobs have in common that one connection holds: they are lost with it. Each job that asks for a signal gets its own,
 * which is forgotten with the job: what the handler hung on it must not live as long as the connection.
 */
export class Holding {
  readonly #controllers = new Set<AbortController>();
  #isLost = false;

  join(): AbortController {
    const controller = new AbortController();
    if (this.#isLost) controller.abort();
    else this.#controllers.add(controller);
    return controller;
  }

  leave(controller: AbortController): void {
    this.#controllers.delete(controller);
  }

  lose(): void {
    this.#isLost = true;
    for (const controller of this.#controllers) controller.abort();
    this.#controllers.clear();
  }
}

/** Settles jobs, those of one turn of the event loop with one command. What cannot be sent throws at once. */
export class Settler {
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

  nack(handle: string, reason: unknown, o: NackOptions & { dead?: boolean } = {}): Promise<boolean> {
    const args = ['QNACK', this.#queue, handle, 'REASON', reason === '' ? '' : reasonOf(reason)];
    if (o.delayMs !== undefined) args.push('DELAY', milliseconds('delayMs', o.delayMs));
    if (o.dead) args.push('DEAD');
    return settle(this.#connection, () => this.#connection.send<number>(args)).then(isOne);
  }

  extend(handle: string, ms: number): Promise<boolean> {
    return this.#connection.send(['QEXTEND', this.#queue, milliseconds('extend', ms), handle], {}, isOne);
  }

  release(handles: string[]): Promise<number> {
    return settle(this.#connection, () => this.#connection.send<number>(['QNACK', this.#queue, ...handles, 'RELEASE']));
  }
}

/** What a handler gets. */
export class JobMessage<T> implements QueueMessage<T> {
  readonly id: string;
  readonly data: T;
  readonly attempts: number;
  readonly enqueuedAt: Date;
  /** Is told when the application settles the job, with what comes of it. */
  onSettle: ((settled: Promise<boolean>) => void) | undefined;
  readonly #held: HeldJob;
  readonly #settler: Settler;
  #controller: AbortController | undefined;
  #isDone = false;
  readonly #settlements: Promise<boolean>[] = [];

  constructor(held: HeldJob, data: T, settler: Settler) {
    const [, , attempts, meta] = held.raw;
    this.id = held.handle.slice(0, held.handle.indexOf('-'));
    this.data = data;
    this.attempts = attempts;
    this.enqueuedAt = new Date(Number(meta['pushed-at']));
    this.#held = held;
    this.#settler = settler;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = this.#held.holding.join();
      if (this.#isDone) this.#held.holding.leave(this.#controller);
    }
    return this.#controller.signal;
  }

  // Arrow functions: a handler may take them out of the message.
  readonly ack = (): Promise<boolean> => this.#settle(() => this.#settler.ack(this.#held.handle));

  readonly nack = (reason: string, o?: NackOptions): Promise<boolean> =>
    this.#settle(() => this.#settler.nack(this.#held.handle, reason, { delayMs: o?.delayMs }));

  readonly release = (): Promise<boolean> => this.#settle(() => this.#settler.release([this.#held.handle]).then(isOne));

  readonly toDlq = (reason: string): Promise<boolean> =>
    this.#settle(() => this.#settler.nack(this.#held.handle, reason, { dead: true }));

  readonly extend = (milliseconds: number): Promise<boolean> =>
    attempt(() => this.#settler.extend(this.#held.handle, milliseconds));

  #settle(run: () => Promise<boolean>): Promise<boolean> {
    return attempt(() => {
      const sent = run(); // what cannot be sent throws, and settles nothing
      const settled = forgiving(() => sent);
      this.#settlements.push(settled);
      this.onSettle?.(settled);
      return settled;
    });
  }

  /**
   * The handler is done. What it sent itself to settle the job is waited for; when it sent nothing the job is acknowledged, or
   * has failed, for good when that is fatal; when the server refused all of it the job has failed. Rejected when the job is not
   * settled.
   */
  finish(failure: Error | undefined, fatal: boolean): Promise<unknown> {
    this.#isDone = true;
    if (this.#controller !== undefined) this.#held.holding.leave(this.#controller);
    return this.#settlements.length === 0 ? this.#automatic(failure, fatal) : this.#own(failure);
  }

  #automatic(failure: Error | undefined, fatal: boolean): Promise<boolean> {
    return failure === undefined
      ? this.#settler.ack(this.#held.handle)
      : this.#settler.nack(this.#held.handle, failure, { dead: fatal });
  }

  async #own(failure: Error | undefined): Promise<void> {
    let refused: unknown;
    for (const result of await Promise.allSettled(this.#settlements)) {
      if (result.status === 'fulfilled') return;
      refused = result.reason;
    }
    if (isAway(refused)) throw refused; // nothing more can be sent, or whether it was done is not known
    await this.#automatic(failure ?? asError(refused), false);
  }
}
