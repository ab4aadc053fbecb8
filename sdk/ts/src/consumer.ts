import { AsyncResource } from 'node:async_hooks';
import { NexoConnection } from './connection.js';
import { isAway, RequestTimeoutError, ServerError } from './errors.js';
import type { MessageBegin, MessageEnd, NexoOptions } from './options.js';
import { stackOf } from './thrown.js';
import { every, pause, type Timer } from './timers.js';

/** What subscribe() answers. */
export interface Subscription extends AsyncDisposable {
  /** Takes no more messages, gives those back that were not begun, and waits for the handlers that run and what settles theirs. */
  stop(): Promise<void>;
}

/** What a consumer does with a batch; the loop around it is the same for queues and streams. */
export interface Source<M> {
  /** Waits for up to count messages; runs on the consumer's own connection. */
  fetch(connection: NexoConnection, count: number): Promise<M[]>;
  /**
   * Handles one message, and resolves when the server has answered to what settles it. It calls handled() as soon as the
   * handler is done and that was sent: then the next one may begin. It does not throw.
   */
  handle(message: M, handled: () => void): Promise<void>;
  /** Gives back messages that no handler has begun. */
  release(messages: readonly M[]): Promise<void>;
  /** The connection is gone: what it held is the server's again, and no handler has begun these messages. */
  lost(unbegun: readonly M[]): void;
  /** What a lost connection held and nobody has begun is given back; nothing is fetched before this is done. */
  reconnected(connection: NexoConnection): Promise<void>;
  /** Called every few seconds with what is held, while there is something. */
  renew(messages: readonly M[]): Promise<void>;
}

export interface ConsumerOptions {
  batchSize: number;
  concurrency: number;
  /** Messages that are held are renewed this often; 0 is never. */
  renewMs: number;
  signal?: AbortSignal | undefined;
  onError: (error: Error) => void;
}

/**
 * One loop of fetching on a connection of its own, so that waiting for messages holds nobody up, and up to `concurrency`
 * handlers. Messages wait here in the order they came; no more than `batchSize` wait or are being handled. A handler's place is
 * free when the handler is done: what settles its message is on its way then, behind what settled those before it, and costs
 * no handler the time of an fsync. No more than `batchSize` messages have been begun and are not settled.
 */
export class Consumer<M> implements Subscription {
  readonly #source: Source<M>;
  readonly #options: ConsumerOptions;
  readonly #main: NexoConnection;
  readonly #connection: NexoConnection;
  #clientId = 0;
  /** Counts the connections that were lost: what an older one fetched is not ours any more. */
  #lost = 0;
  #introduced = 0;
  #waiting: M[] = [];
  /** Messages that have a handler now. */
  readonly #running = new Set<M>();
  /** Those that were begun and are not settled, with what resolves when they are. */
  readonly #begun = new Map<M, Promise<void>>();
  readonly #stopping = new AbortController();
  #fetching = false;
  #stop: Promise<void> | undefined;
  #loop: Promise<void> | undefined;
  #room: (() => void) | undefined;
  #renewal: Timer | undefined;
  readonly #ended: () => void;

  constructor(main: NexoConnection, name: string, source: Source<M>, options: ConsumerOptions, ended: () => void) {
    this.#main = main;
    this.#source = source;
    this.#options = options;
    this.#ended = ended;
    const own: NexoOptions = { ...main.options, name, offline: 'reject' };
    this.#connection = new NexoConnection(own);
  }

  /** Connects and begins. When it fails, or is stopped before it has begun, nothing is left of it. */
  async start(): Promise<this> {
    const { signal } = this.#options;
    this.#connection.on('disconnect', () => {
      this.#lost++;
      this.#source.lost(this.#waiting.splice(0));
      this.#room?.();
    });
    this.#connection.on('error', (error) => this.#report(error));
    try {
      signal?.throwIfAborted();
      await this.#connection.open();
      this.#clientId = await this.#connection.send<number>(['CLIENT', 'ID']);
      signal?.throwIfAborted();
    } catch (error) {
      this.abandon();
      throw error;
    }
    signal?.addEventListener('abort', this.#aborted, { once: true });
    if (this.#options.renewMs > 0) {
      this.#renewal = every(this.#options.renewMs, () => void this.#renew());
    }
    this.#loop = root.runInAsyncScope(() => this.#run());
    return this;
  }

  readonly #aborted = (): void => void this.stop();

  /** Aborted when it begins to stop. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  get #stopped(): boolean {
    return this.stopping.aborted;
  }

  #report(error: Error): void {
    try {
      this.#options.onError(error);
    } catch (thrown) {
      this.#main.log('error', `onError: ${stackOf(thrown)}`);
    }
  }

  /** Makes a new connection known; one that is known already costs nothing. */
  async #introduce(): Promise<void> {
    const lost = this.#lost;
    if (this.#introduced === lost) {
      return;
    }
    this.#clientId = await this.#connection.send<number>(['CLIENT', 'ID']);
    // What is being acknowledged must not be given back, or somebody else would handle it again.
    await Promise.allSettled([...this.#begun].filter(([message]) => !this.#running.has(message)).map(([, settled]) => settled));
    await this.#source.reconnected(this.#connection);
    this.#introduced = lost;
  }

  async #run(): Promise<void> {
    let pauseMs = 50;
    while (!this.#stopped) {
      const room = this.#options.batchSize - this.#waiting.length - this.#running.size;
      if (room < Math.max(1, this.#options.batchSize / 2) && this.#waiting.length + this.#running.size > 0) {
        await new Promise<void>((resolve) => {
          this.#room = resolve;
        });
        continue;
      }
      try {
        if (!(await this.#connection.connected())) {
          return;
        }
        await this.#introduce();
        if (this.#stopped) {
          return;
        }
        const lost = this.#lost;
        this.#fetching = true;
        const messages = await this.#source.fetch(this.#connection, room);
        this.#fetching = false;
        pauseMs = 50;
        if (lost === this.#lost) {
          this.#waiting.push(...messages);
          this.#begin();
        }
      } catch (error) {
        this.#fetching = false;
        if (this.#stopped) {
          return;
        }
        if (error instanceof RequestTimeoutError) {
          // What the late answer brought would be nobody's: without the connection it is the server's again.
          this.#report(error);
          this.#connection.socket.destroy();
        } else if (this.#connection.isConnected) {
          // The server refuses: the queue was deleted, the disk is full. Not a reason to hammer it.
          this.#report(error as Error);
          await pause(pauseMs, this.stopping);
          pauseMs = Math.min(5000, pauseMs * 2);
        }
      }
    }
  }

  #begin(): void {
    const { batchSize, concurrency } = this.#options;
    while (this.#running.size < concurrency && this.#begun.size < batchSize && this.#waiting.length > 0 && !this.#stopped) {
      const message = this.#waiting.shift() as M;
      this.#running.add(message);
      const handled = (): void => {
        if (this.#running.delete(message)) this.#goOn();
      };
      const settled = this.#source.handle(message, handled).finally(() => {
        this.#running.delete(message);
        this.#begun.delete(message);
        this.#goOn();
      });
      this.#begun.set(message, settled);
    }
  }

  #goOn(): void {
    this.#begin();
    this.#room?.();
  }

  async #renew(): Promise<void> {
    const held = [...this.#begun.keys(), ...this.#waiting];
    if (held.length === 0 || !this.#main.isConnected) {
      return;
    }
    try {
      await this.#source.renew(held);
    } catch (error) {
      this.#report(error as Error);
    }
  }

  stop(): Promise<void> {
    this.#stop ??= this.#end();
    return this.#stop;
  }

  async #end(): Promise<void> {
    this.#stopping.abort();
    this.#room?.();
    // The wait is ended from the main connection: cutting it off could lose what is on its way to us.
    while (this.#fetching && this.#connection.isConnected && this.#main.isConnected) {
      await this.#main.send(['CLIENT', 'UNBLOCK', String(this.#clientId)]).catch(() => undefined);
      await Promise.race([this.#loop, pause(20)]);
    }
    if (!this.#connection.isConnected || !this.#main.isConnected) {
      this.#connection.destroy();
    }
    await this.#loop;
    const unbegun = this.#waiting.splice(0);
    if (unbegun.length > 0 && this.#main.isConnected) {
      await this.#source.release(unbegun).catch((error: Error) => this.#report(error));
    }
    await Promise.allSettled(this.#begun.values());
    if (this.#introduced !== this.#lost && this.#main.isConnected) {
      // What a lost connection was given need not wait until its time ends.
      await this.#source.reconnected(this.#main).catch((error: Error) => this.#report(error));
    }
    this.#finish();
  }

  #finish(): void {
    this.#renewal?.cancel();
    this.#options.signal?.removeEventListener('abort', this.#aborted);
    this.#connection.destroy();
    this.#ended();
  }

  /** Ends without waiting for anybody. */
  abandon(): void {
    this.#stop ??= Promise.resolve();
    this.#stopping.abort();
    this.#room?.();
    this.#finish();
  }

  /** For tests: the connection that waits for messages. */
  get socket(): NexoConnection['socket'] {
    return this.#connection.socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/**
 * Sends what settles a message, again when the connection broke meanwhile. That is safe where the server counts it once: a
 * handle or an offset with its epoch names one delivery.
 */
export async function settle<R>(connection: NexoConnection, run: () => Promise<R>): Promise<R> {
  for (;;) {
    try {
      return await run();
    } catch (error) {
      // One that had no answer in time may have been done, and the server is there: the lease decides.
      const broken = isAway(error) && !(error instanceof RequestTimeoutError);
      if (!broken || !(await connection.connected())) {
        throw error;
      }
      if (error instanceof ServerError) await pause(100, connection.ended); // it is there, and not ready yet
    }
  }
}

/** How long a request may take that waits so long for messages; 0 is without limit. */
export function waitLimitMs(connection: NexoConnection, waitMs: number): number {
  return waitMs === 0 ? 0 : waitMs + (connection.options.requestTimeoutMs ?? 15_000);
}

/** What runs for long, or for many, belongs to none of the contexts (of a request, of a span) that it was begun in. */
const root = new AsyncResource('NexoClient');

/** Handles a message, surrounded by telemetry; nothing that goes wrong there keeps the message from being handled. */
export async function observed(
  connection: NexoConnection,
  begin: Omit<MessageBegin, 'host' | 'port'>,
  handle: () => Promise<Error | undefined>,
): Promise<void> {
  const { telemetry, host = 'localhost', port = 7654 } = connection.options;
  if (telemetry?.message === undefined) {
    await handle();
    return;
  }
  let handled: Promise<MessageEnd> | undefined;
  const once = (): Promise<MessageEnd> => {
    const began = performance.now();
    handled ??= handle().then((error) => ({ milliseconds: performance.now() - began, ...(error ? { error } : {}) }));
    return handled;
  };
  try {
    await telemetry.message({ ...begin, host, port }, once);
  } catch (error) {
    connection.log('error', `telemetry: ${stackOf(error)}`);
  }
  await once();
}

/** Joins the calls of one turn of the event loop into one command. */
export class Batch<I, O> {
  readonly #flush: (items: I[]) => Promise<O[]>;
  #items: { item: I; resolve: (value: O) => void; reject: (error: Error) => void }[] = [];

  constructor(flush: (items: I[]) => Promise<O[]>) {
    this.#flush = flush;
  }

  add(item: I): Promise<O> {
    return new Promise<O>((resolve, reject) => {
      if (this.#items.length === 0) {
        root.runInAsyncScope(() => setImmediate(() => void this.#send()));
      }
      this.#items.push({ item, resolve, reject });
    });
  }

  async #send(): Promise<void> {
    const items = this.#items;
    this.#items = [];
    try {
      const results = await this.#flush(items.map(({ item }) => item));
      for (const [i, { resolve }] of items.entries()) {
        resolve(results[i] as O);
      }
    } catch (error) {
      for (const { reject } of items) {
        reject(error as Error);
      }
    }
  }
}
