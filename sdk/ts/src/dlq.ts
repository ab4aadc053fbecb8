import { forgiving, isOne } from './calls.js';
import type { NexoConnection } from './connection.js';
import type { CallOpts } from './options.js';

export interface DeadJob<T = any> {
  id: string;
  data: T;
  attempts: number;
  failureReason: string;
  failedAt: Date;
  priority: number;
}

/** Which dead jobs to look at. */
export interface DeadPeekOptions extends CallOpts {
  /** A text in the payload or in the reason. */
  match?: string;
}

/** Which dead jobs are to be made ready again. */
export interface ReplayOptions extends CallOpts {
  /** A text in the payload or in the reason. */
  filter?: string;
  limit?: number;
}

/** The dead-letter queue: jobs that failed for good, the last one first. */
export class NexoDLQ<T = any> {
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
  peek(limit = 10, offset = 0, o: DeadPeekOptions = {}): Promise<{ total: number; items: DeadJob<T>[] }> {
    const args = ['QDLQ', 'LIST', this.#queue, 'OFFSET', String(offset), 'COUNT', String(limit)];
    if (o.match !== undefined) args.push('MATCH', o.match);
    type Entry = [id: Buffer, payload: Buffer, attempts: number, reason: Buffer, failedAt: number, priority: number];
    type Reply = [total: number, entries: Entry[]];
    return this.#connection.send<Reply, { total: number; items: DeadJob<T>[] }>(args, o, ([total, entries]) => ({
      total,
      items: entries.map(([id, payload, attempts, reason, failedAt, priority]) => ({
        id: id.toString(),
        data: this.#decode(payload),
        attempts,
        failureReason: reason.toString(),
        failedAt: new Date(failedAt),
        priority,
      })),
    }));
  }

  /** Makes a dead job ready again; false when there is no such one. */
  moveToQueue(id: string, o?: CallOpts): Promise<boolean> {
    return this.#connection.send(['QDLQ', 'REPLAY', this.#queue, id], o, isOne);
  }

  /** Deletes a dead job; false when there is no such one. */
  delete(id: string, o?: CallOpts): Promise<boolean> {
    return this.#connection.send(['QDLQ', 'DEL', this.#queue, id], o, isOne);
  }

  /** Deletes all dead jobs and answers how many. */
  purge(o?: CallOpts): Promise<number> {
    return this.#connection.send<number>(['QDLQ', 'PURGE', this.#queue], o);
  }

  /** Makes dead jobs ready again: all, those with a text in the payload or in the reason, or so many; answers how many. */
  replayAll(o: ReplayOptions = {}): Promise<number> {
    if (o.filter === undefined && o.limit === undefined) {
      return this.#connection.send<number>(['QDLQ', 'REPLAY', this.#queue, 'ALL'], o);
    }
    const { filter, limit = Number.POSITIVE_INFINITY } = o;
    return forgiving(async () => {
      // All are found before any is replayed: those that die again meanwhile are not replayed again.
      const ids = await this.#find(filter, limit, o);
      let replayed = 0;
      for (let i = 0; i < ids.length; i += 1000) {
        const args = ['QDLQ', 'REPLAY', this.#queue, ...ids.slice(i, i + 1000)];
        replayed += await this.#connection.send<number>(args, o);
      }
      return replayed;
    });
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
