import type { Arg } from './connection.js';
import { isAway, RequestTimeoutError } from './errors.js';
import type { CallEnd } from './options.js';
import { asError } from './thrown.js';
import { longestTimerMs } from './timers.js';

const nothing = (): void => {};

/**
 * A server that goes away is no reason for the process to end: a promise that is rejected for that and that nobody looks at
 * counts as looked at. Those who wait for it are told all the same; the log tells how many calls it were.
 */
export function forgive(promise: Promise<unknown> | undefined, error: unknown): void {
  if (isAway(error)) promise?.catch(nothing);
}

/** The same for what consists of several calls. */
export function forgiving<T>(run: () => Promise<T>): Promise<T> {
  const promise = new Promise<T>((resolve, reject) => {
    run().then(resolve, (error: unknown) => {
      forgive(promise, error);
      reject(error as Error);
    });
  });
  return promise;
}

/** What goes wrong while a call is being made rejects it. */
export function attempt<T>(make: () => Promise<T>): Promise<T> {
  try {
    return make();
  } catch (error) {
    return Promise.reject(error as Error);
  }
}

/** What a reply of 0 or 1 means. */
export function isOne(reply: number): boolean {
  return reply === 1;
}

/** How a call is made. */
export interface CallSetup {
  args: readonly Arg[];
  /** How long it may take; 0 is without limit. */
  limitMs: number;
  signal: AbortSignal | undefined;
  ended: ((end: CallEnd) => void) | undefined;
  /** Makes what the caller gets of the reply. */
  read: ((reply: never) => unknown) | undefined;
}

/** A call that waits for its answer: a link in the ring of those with the same time limit. Whatever settles it first counts. */
export class Call {
  readonly command: string;
  readonly began = performance.now();
  isPending = true;
  previous: Call = this;
  next: Call = this;
  /** What the caller waits for. */
  promise: Promise<unknown> | undefined;
  readonly #calls: Calls;
  readonly #setup: CallSetup | undefined;
  readonly #resolve: (value: never) => void;
  readonly #reject: (error: Error) => void;
  readonly #aborted: (() => void) | undefined;

  constructor(calls: Calls, setup: CallSetup | undefined, resolve: (value: never) => void, reject: (error: Error) => void) {
    this.#calls = calls;
    this.#setup = setup;
    this.command = setup === undefined ? '' : String(setup.args[0]);
    this.#resolve = resolve;
    this.#reject = reject;
    const signal = setup?.signal;
    if (signal !== undefined) {
      this.#aborted = () => this.fail(signal.reason as Error);
      signal.addEventListener('abort', this.#aborted, { once: true });
    }
  }

  answer(reply: unknown): void {
    if (this.isPending) {
      this.#settle();
      this.#setup?.ended?.({ milliseconds: performance.now() - this.began, reply });
      const read = this.#setup?.read;
      if (read === undefined) {
        this.#resolve(reply as never);
        return;
      }
      let value: unknown;
      try {
        value = read(reply as never);
      } catch (error) {
        this.#reject(error as Error);
        return;
      }
      this.#resolve(value as never);
    }
  }

  fail(error: Error): void {
    if (this.isPending) {
      this.#settle();
      this.#setup?.ended?.({ milliseconds: performance.now() - this.began, error: asError(error) });
      forgive(this.promise, error);
      this.#reject(error);
    }
  }

  #settle(): void {
    this.isPending = false;
    this.previous.next = this.next;
    this.next.previous = this.previous;
    if (this.#aborted !== undefined) {
      this.#setup?.signal?.removeEventListener('abort', this.#aborted);
    }
    this.#calls.settled();
  }
}

/** Calls with the same time limit: the first one made is the first one due, so one timer does for all of them. */
class Ring {
  /** Stands for the beginning and the end. */
  readonly anchor: Call;
  readonly #calls: Calls;
  readonly #limitMs: number;
  readonly #emptied: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(calls: Calls, limitMs: number, emptied: () => void) {
    this.anchor = new Call(calls, undefined, nothing, nothing);
    this.#calls = calls;
    this.#limitMs = limitMs;
    this.#emptied = emptied;
  }

  append(call: Call): void {
    const last = this.anchor.previous;
    call.previous = last;
    call.next = this.anchor;
    last.next = call;
    this.anchor.previous = call;
    if (this.#timer === undefined && this.#limitMs > 0) {
      this.#wait(this.#limitMs);
    }
  }

  #wait(milliseconds: number): void {
    // The socket that the answers come from keeps the process alive, not the timer.
    this.#timer = setTimeout(() => this.#expire(), Math.min(Math.ceil(milliseconds), longestTimerMs)).unref();
  }

  #expire(): void {
    this.#timer = undefined;
    const latest = performance.now() - this.#limitMs;
    let late = 0;
    let call = this.anchor.next;
    for (; call !== this.anchor && call.began <= latest; call = this.anchor.next) {
      call.fail(new RequestTimeoutError(call.command, this.#limitMs));
      late++;
    }
    if (call === this.anchor) {
      this.#emptied();
    } else {
      this.#wait(call.began - latest);
    }
    if (late > 0) this.#calls.late(late, this.#limitMs);
  }

  failAll(error: Error): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.anchor.next !== this.anchor) {
      this.anchor.next.fail(error);
    }
  }
}

/**
 * The calls of a connection that wait for their answers. A call costs two links here: neither a timer of its own nor an entry
 * of a table, which is what most of the time of a small call would go into.
 */
export class Calls {
  readonly #rings = new Map<number, Ring>();
  /** Is told how many calls had no answer in time. */
  readonly late: (count: number, limitMs: number) => void;
  #count = 0;
  #drained: (() => void)[] = [];

  constructor(late: (count: number, limitMs: number) => void) {
    this.late = late;
  }

  /** How many wait. */
  get count(): number {
    return this.#count;
  }

  begin(setup: CallSetup, resolve: (value: never) => void, reject: (error: Error) => void): Call {
    const { limitMs } = setup;
    let ring = this.#rings.get(limitMs);
    if (ring === undefined) {
      ring = new Ring(this, limitMs, () => this.#rings.delete(limitMs));
      this.#rings.set(limitMs, ring);
    }
    const call = new Call(this, setup, resolve, reject);
    ring.append(call);
    this.#count++;
    return call;
  }

  /** Something that is no call yet is waited for as if it were one, until settled() is called for it. */
  expect(): void {
    this.#count++;
  }

  settled(): void {
    this.#count--;
    if (this.#count === 0) {
      for (const go of this.#drained.splice(0)) {
        go();
      }
    }
  }

  failAll(error: Error): void {
    for (const ring of this.#rings.values()) {
      ring.failAll(error);
    }
    this.#rings.clear();
  }

  /** Resolves when no call waits any more. */
  async drained(): Promise<void> {
    while (this.#count > 0) {
      await new Promise<void>((resolve) => this.#drained.push(resolve));
    }
  }
}
