import type { Arg } from './connection.js';
import { RequestTimeoutError } from './errors.js';
import type { CallEnd } from './options.js';

/** The longest that a timer of Node can wait. */
const longestTimerMs = 2 ** 31 - 1;

/** A call that waits for its answer: a link in the ring of those with the same time limit. Whatever settles it first counts. */
export class Call {
  readonly command: string;
  readonly began = performance.now();
  isPending = true;
  previous: Call = this;
  next: Call = this;
  readonly #calls: Calls;
  readonly #resolve: (reply: never) => void;
  readonly #reject: (error: Error) => void;
  readonly #ended: ((end: CallEnd) => void) | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #aborted: (() => void) | undefined;

  constructor(
    calls: Calls,
    command: string,
    resolve: (reply: never) => void,
    reject: (error: Error) => void,
    signal?: AbortSignal,
    ended?: (end: CallEnd) => void,
  ) {
    this.#calls = calls;
    this.command = command;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#ended = ended;
    if (signal !== undefined) {
      this.#signal = signal;
      this.#aborted = () => this.fail(signal.reason as Error);
      signal.addEventListener('abort', this.#aborted, { once: true });
    }
  }

  answer(reply: unknown): void {
    if (this.isPending) {
      this.#settle();
      this.#ended?.({ milliseconds: performance.now() - this.began, reply });
      this.#resolve(reply as never);
    }
  }

  fail(error: Error): void {
    if (this.isPending) {
      this.#settle();
      this.#ended?.({ milliseconds: performance.now() - this.began, error });
      this.#reject(error);
    }
  }

  #settle(): void {
    this.isPending = false;
    this.previous.next = this.next;
    this.next.previous = this.previous;
    if (this.#aborted !== undefined) {
      this.#signal?.removeEventListener('abort', this.#aborted);
    }
    this.#calls.settled();
  }
}

/** Calls with the same time limit: the first one made is the first one due, so one timer does for all of them. */
class Ring {
  /** Stands for the beginning and the end. */
  readonly anchor: Call;
  readonly #limitMs: number;
  readonly #emptied: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(calls: Calls, limitMs: number, emptied: () => void) {
    this.anchor = new Call(
      calls,
      '',
      () => {},
      () => {},
    );
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
    for (let call = this.anchor.next; call !== this.anchor; call = this.anchor.next) {
      if (call.began > latest) {
        this.#wait(call.began - latest);
        return;
      }
      call.fail(new RequestTimeoutError(call.command, this.#limitMs));
    }
    this.#emptied();
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
  #count = 0;
  #drained: (() => void)[] = [];

  /** A call begins that may take so long; 0 is without limit. */
  begin(
    args: readonly Arg[],
    limitMs: number,
    resolve: (reply: never) => void,
    reject: (error: Error) => void,
    signal: AbortSignal | undefined,
    ended: ((end: CallEnd) => void) | undefined,
  ): Call {
    let ring = this.#rings.get(limitMs);
    if (ring === undefined) {
      ring = new Ring(this, limitMs, () => this.#rings.delete(limitMs));
      this.#rings.set(limitMs, ring);
    }
    const call = new Call(this, String(args[0]), resolve, reject, signal, ended);
    ring.append(call);
    this.#count++;
    return call;
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
