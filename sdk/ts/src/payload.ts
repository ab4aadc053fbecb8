import { forgiving } from './calls.js';
import { decode, encodeArg } from './codec.js';
import type { Arg, NexoConnection } from './connection.js';
import { ValidationError } from './errors.js';
import { type TypedOptions, validate } from './options.js';

/** How the messages of a queue, stream or topic are checked, written and read. */
export class Payloads<T> {
  readonly #connection: NexoConnection;
  readonly #options: TypedOptions<T>;
  /** Such as `job of mails`, for errors. */
  readonly #what: string;

  constructor(connection: NexoConnection, options: TypedOptions<T>, what: string) {
    this.#connection = connection;
    this.#options = { ...options };
    this.#what = what;
  }

  get #codec() {
    return this.#options.as ?? this.#connection.options.codec;
  }

  /** Makes a call with what is written for a value: within this call, unless a schema needs time. */
  send<V>(data: T, call: (payload: Arg) => Promise<V>): Promise<V> {
    const payload = this.#encode(data);
    return payload instanceof Promise ? this.#later(payload, call) : call(payload);
  }

  /** The same for several values. */
  sendAll<V>(items: readonly T[], call: (payloads: Arg[]) => Promise<V>): Promise<V> {
    const payloads = items.map((item) => this.#encode(item));
    return payloads.some((payload) => payload instanceof Promise)
      ? this.#later(Promise.all(payloads), call)
      : call(payloads as Arg[]);
  }

  #later<P, V>(payload: Promise<P>, call: (payload: P) => Promise<V>): Promise<V> {
    return forgiving(() => this.#connection.preparing(payload.then(call)));
  }

  #encode(data: T): Arg | Promise<Arg> {
    const value = validate(this.#options.schema, data, this.#what);
    if (!(value instanceof Promise)) {
      return encodeArg(value, this.#codec);
    }
    const before = this.#written(data);
    return value.then((checked) => {
      if (this.#written(data) !== before) {
        throw new ValidationError(`${this.#what} was changed while its schema was checking it`);
      }
      return encodeArg(checked, this.#codec);
    });
  }

  /** By which a change is seen; undefined for what only the schema makes writable. */
  #written(data: T): string | undefined {
    try {
      const arg = encodeArg(data, this.#codec);
      return typeof arg === 'string' ? arg : arg.toString('latin1');
    } catch {
      return undefined;
    }
  }

  decode(payload: Buffer): T {
    return decode<T>(payload, this.#codec);
  }

  /** Decodes what came, and checks it. */
  read(payload: Buffer): T | Promise<T> {
    const data = this.decode(payload);
    return this.#options.schema === undefined ? data : validate(this.#options.schema, data, this.#what);
  }
}
