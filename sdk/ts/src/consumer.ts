import { AsyncResource } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { NexoConnection } from './connection.js';
import { ConnectionClosedError, NotConnectedError, RequestTimeoutError } from './errors.js';
import type { MessageBegin, MessageEnd, NexoOptions } from './options.js';

/** What subscribe() answers. */
export interface Subscription extends AsyncDisposable {
  /** Takes no more messages, gives those back that were not begun, and waits for the handlers that run. */
  stop(): Promise<void>;
}

/** What a consumer does with a batch; the loop around it is the same for queues and streams. */
export interface Source<M> {
  /** Waits for up to count messages; runs on the consumer's own connection. */
  fetch(connection: NexoConnection, count: number): Promise<M[]>;
  /** Handles one message to its end. It does not throw. */
  handle(message: M): Promise<void>;
  /** Gives back messages that no handler has begun. */
  release(messages: M[]): Promise<void>;
  /** The connection is gone: what it held is the server's again, and no handler has begun these messages. */
  lost(unbegun: M[]): void;
  /** The connection is new; nothing is fetched before this is done. */
  reconnected(connection: NexoConnection): Promise<void>;
  /** Called every few seconds with what is held, while there is something. */
  renew(messages: M[]): Promise<void>;
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
 * handlers. Messages wait here in the order they came; no more than `batchSize` are held at a time.
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
  readonly #running = new Map<M, Promise<void>>();
  readonly #stopping = new AbortController();
  #fetching = false;
  #stop: Promise<void> | undefined;
  #loop: Promise<void> | undefined;
  #room: (() => void) | undefined;
  #renewal: NodeJS.Timeout | undefined;
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
      this.#renewal = setInterval(() => void this.#renew(), this.#options.renewMs);
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
      this.#main.log('error', `onError: ${(thrown as Error).stack}`);
    }
  }

  /** Makes a new connection known; one that is known already costs nothing. */
  async #introduce(): Promise<void> {
    const lost = this.#lost;
    if (this.#introduced === lost) {
      return;
    }
    this.#clientId = await this.#connection.send<number>(['CLIENT', 'ID']);
    await this.#source.reconnected(this.#connection);
    this.#introduced = lost;
  }

  async #run(): Promise<void> {
    let pause = 50;
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
        pause = 50;
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
          await sleep(pause, undefined, { signal: this.stopping }).catch(() => undefined);
          pause = Math.min(5000, pause * 2);
        }
      }
    }
  }

  #begin(): void {
    while (this.#running.size < this.#options.concurrency && this.#waiting.length > 0 && !this.#stopped) {
      const message = this.#waiting.shift() as M;
      const done = this.#source.handle(message).finally(() => {
        this.#running.delete(message);
        this.#begin();
        this.#room?.();
      });
      this.#running.set(message, done);
    }
  }

  async #renew(): Promise<void> {
    const held = [...this.#running.keys(), ...this.#waiting];
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
      await Promise.race([this.#loop, sleep(20)]);
    }
    if (!this.#connection.isConnected || !this.#main.isConnected) {
      this.#connection.destroy();
    }
    await this.#loop;
    const unbegun = this.#waiting.splice(0);
    if (unbegun.length > 0 && this.#main.isConnected) {
      await this.#source.release(unbegun).catch((error: Error) => this.#report(error));
    }
    await Promise.allSettled(this.#running.values());
    this.#finish();
  }

  #finish(): void {
    clearInterval(this.#renewal);
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
      const broken = error instanceof ConnectionClosedError || error instanceof NotConnectedError;
      if (!broken || !(await connection.connected())) {
        throw error;
      }
    }
  }
}

/** What runs for long, or for many, belongs to none of the contexts (of a request, of a span) that it was begun in. */
const root = new AsyncResource('NexoClient');

/** What a handler threw, which may be anything. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

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
    connection.log('error', `telemetry: ${(error as Error).stack}`);
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
