import { attempt, isOne } from './calls.js';
import type { NexoConnection } from './connection.js';
import { ValidationError } from './errors.js';
import { type CallOpts, milliseconds, positive } from './options.js';

/** How much a limiter lets through. */
export interface LimiterConfig {
  /** So many within a window, at most; all at once, or spread over it. */
  max: number;
  windowMs: number;
}

export interface TakeOptions extends CallOpts {
  /** How many of the `max` this one counts for; default 1. */
  cost?: number;
}

/** What a limiter says. */
export interface LimiterResult {
  /** Whether it may go on; what may not has taken nothing. */
  allowed: boolean;
  /** How many more would be allowed now. */
  remaining: number;
  /** How long to wait until this one would be allowed; 0 when it is. */
  retryAfterMs: number;
  /** Until nothing is taken any more. */
  resetMs: number;
}

/**
 * Lets so many through per window and id, whichever process asks: the server counts, in one step. It refills all the time (GCRA),
 * so there is no edge of a window at which twice as many get through.
 */
export class NexoLimiter {
  readonly name: string;
  readonly #connection: NexoConnection;
  readonly #max: number;
  readonly #window: string;

  constructor(connection: NexoConnection, name: string, { max, windowMs }: LimiterConfig) {
    positive({ max });
    this.#window = milliseconds('windowMs', windowMs);
    if (this.#window === '0') {
      throw new ValidationError('windowMs is 0: a limiter needs a window');
    }
    this.name = name;
    this.#connection = connection;
    this.#max = max;
  }

  #key(id: string): string {
    return `limit:${this.name}:${id}`;
  }

  /** Takes one, or as many as it costs, for an id such as an address or a user. */
  take(id: string, o: TakeOptions = {}): Promise<LimiterResult> {
    return this.#ask(id, o.cost ?? 1, o, resultOf);
  }

  /** Looks without taking: `allowed` tells whether one would be. */
  peek(id: string, o?: CallOpts): Promise<LimiterResult> {
    return this.#ask(id, 0, o, (reply) => ({ ...resultOf(reply), allowed: reply[1] > 0 }));
  }

  #ask(id: string, cost: number, o: CallOpts | undefined, read: (reply: Reply) => LimiterResult): Promise<LimiterResult> {
    return attempt(() => {
      if (!Number.isInteger(cost) || cost < 0 || cost > this.#max) {
        throw new ValidationError(`cost is ${cost}, not a whole number from 0 to max, which is ${this.#max}`);
      }
      const args = ['NLIMIT', this.#key(id), String(this.#max), this.#window, 'COST', String(cost)];
      return this.#connection.send(args, o, read);
    });
  }

  /** Forgets what an id has taken; false when that was nothing. */
  reset(id: string, o?: CallOpts): Promise<boolean> {
    return this.#connection.send(['NDEL', this.#key(id)], o, isOne);
  }
}

type Reply = [allowed: number, remaining: number, retryMs: number, resetMs: number];

function resultOf([allowed, remaining, retryMs, resetMs]: Reply): LimiterResult {
  return { allowed: allowed === 1, remaining, retryAfterMs: Math.max(0, retryMs), resetMs };
}
