import type { StandardSchemaV1 } from '@standard-schema/spec';
import { type Codec, codecs } from './codec.js';
import { ValidationError } from './errors.js';
import { textOf } from './thrown.js';

/** Receives what the SDK has to say; the console fits. */
export interface Logger {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

/** The levels, from all to nothing. */
export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;

export type LogLevel = (typeof logLevels)[number];

/** The same as one function. */
export type LogHandler = (level: Exclude<LogLevel, 'silent'>, message: string) => void;

/** A call that begins. */
export interface CallBegin {
  command: string;
  /** The command with its arguments, payloads among them. */
  args: readonly (string | Buffer)[];
  host: string;
  port: number;
}

/** How a call or a handler ended. */
export interface CallEnd {
  milliseconds: number;
  /** Why it failed; what failed has no reply. */
  error?: Error;
  /** What the server answered. */
  reply?: unknown;
}

/** A message that is about to be handled. */
export interface MessageBegin {
  source: 'queue' | 'stream';
  /** Of the queue or stream. */
  name: string;
  /** The group of a stream that handles it. */
  group?: string;
  /** Of the job, or the offset of the entry. */
  id: string;
  /** 1 the first time. */
  attempt: number;
  /** undefined when it does not fit the schema, which is why it fails. */
  data: unknown;
  host: string;
  port: number;
}

/** How a handler ended. */
export type MessageEnd = Pick<CallEnd, 'milliseconds' | 'error'>;

/** Is told of every call and every handled message. What it throws is logged, and changes nothing. */
export interface NexoTelemetry {
  /** A call begins; what is returned is told how it ended. */
  call?(begin: CallBegin): ((end: CallEnd) => void) | undefined;
  /** Surrounds a handler: it runs what it is given, once, and may do so within a context of its own. */
  message?(begin: MessageBegin, handle: () => Promise<MessageEnd>): Promise<void>;
}

/** What Node's tls.connect takes. */
export interface TlsOptions {
  ca?: string | Buffer;
  cert?: string | Buffer;
  key?: string | Buffer;
  rejectUnauthorized?: boolean;
  servername?: string;
}

/** Delays between attempts to reconnect: minMs (500) with jitter, doubled up to maxMs (5,000). */
export interface ReconnectOptions {
  minMs?: number;
  maxMs?: number;
  /** Then the client gives up, and tells so by the event `error`; default never. */
  maxAttempts?: number;
}

export interface NexoOptions {
  /** Default localhost. */
  host?: string;
  /** Default 7654. */
  port?: number;
  username?: string;
  password?: string;
  /** Which of the store's databases; default 0. Queues, streams and topics are the same in all. */
  database?: number;
  /** true, or the options of Node's tls.connect. */
  tls?: boolean | TlsOptions;
  /** Shown in CLIENT LIST and in the dashboard. */
  name?: string;
  /** How long a call may take; default 15,000. */
  requestTimeoutMs?: number;
  reconnect?: ReconnectOptions;
  /** What calls do while there is no connection: be rejected with NotConnectedError (default), or wait for it. */
  offline?: 'reject' | 'queue';
  /** On SIGTERM and SIGINT: close(), then let the signal have its effect. Default false. */
  onShutdownSignal?: boolean;
  telemetry?: NexoTelemetry;
  /** How values are written and read where a call does not say; default auto. */
  codec?: Codec;
  /** An object such as the console, which is the default, or a function. */
  logger?: Logger | LogHandler;
  /** Default warn. */
  logLevel?: LogLevel;
}

/** Options of a single call. */
export interface CallOpts {
  /** Rejects the call; what was sent already is done by the server all the same. */
  signal?: AbortSignal;
  timeoutMs?: number;
}

/** Options of close(). */
export interface CloseOptions {
  /** Default 10,000; Infinity is without limit. */
  timeoutMs?: number;
}

/** Options of a typed queue, stream or topic. */
export interface TypedOptions<T> {
  /**
   * Any Standard Schema (zod, valibot, ...): messages are checked before they are sent and before a handler sees them. With one
   * that answers a promise a message is sent when that resolves, and refused when the value was changed until then.
   */
  schema?: StandardSchemaV1<unknown, T>;
  as?: Codec;
}

const schemes = new Map<string, { tls: boolean; port?: number; isRedis: boolean }>([
  ['nexo:', { tls: false, isRedis: false }],
  ['nexos:', { tls: true, isRedis: false }],
  ['redis:', { tls: false, isRedis: true, port: 6379 }],
  ['rediss:', { tls: true, isRedis: true, port: 6379 }],
]);

/**
 * Reads `nexo://user:password@host:port?tls=1&name=x`, or what Redis clients take: `redis://user:password@host:port/database`,
 * where the port is 6379 by default. With an `s` the connection is encrypted.
 */
export function parseUrl(text: string): NexoOptions {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new ValidationError(`"${text}" is not a URL such as nexo://localhost:7654`);
  }
  const scheme = schemes.get(url.protocol);
  if (scheme === undefined) {
    throw new ValidationError(`the URL begins with ${url.protocol}// and not with nexo://, nexos://, redis:// or rediss://`);
  }
  const database = scheme.isRedis ? /^\/(\d+)$/.exec(url.pathname)?.[1] : undefined;
  if ((url.pathname !== '' && url.pathname !== '/' && database === undefined) || url.hash !== '') {
    throw new ValidationError(`the URL goes on with ${url.pathname}${url.hash}, which means nothing here`);
  }
  // An address of IPv6 is in brackets only within a URL.
  const options: NexoOptions = { host: url.hostname.replace(/^\[(.*)\]$/, '$1') || 'localhost' };
  if (url.port !== '') options.port = Number(url.port);
  else if (scheme.port !== undefined) options.port = scheme.port;
  if (database !== undefined) options.database = Number(database);
  if (url.username !== '') options.username = decodeURIComponent(url.username);
  if (url.password !== '') options.password = decodeURIComponent(url.password);
  if (scheme.tls) options.tls = true;
  for (const [name, value] of url.searchParams) {
    if (name === 'name') options.name = value;
    else if (name === 'tls' && value === '1') options.tls = true;
    else if (name === 'tls' && value === '0' && !scheme.tls) options.tls = false;
    else throw new ValidationError(`the URL has ${name}=${value}, which is neither tls=1, tls=0 nor name=...`);
  }
  return options;
}

/** Refuses options that would fail later, where nobody could be told. Answers a copy. */
export function checked(options: NexoOptions): NexoOptions {
  const { database, logger, logLevel, offline, codec, reconnect = {}, requestTimeoutMs } = options;
  const methods = ['debug', 'info', 'warn', 'error'] as const;
  if (
    logger !== undefined &&
    typeof logger !== 'function' &&
    (typeof logger !== 'object' || logger === null || methods.some((name) => typeof logger[name] !== 'function'))
  ) {
    throw new ValidationError('logger is neither a function nor an object with the methods debug, info, warn and error');
  }
  oneOf('logLevel', logLevel, logLevels);
  oneOf('offline', offline, ['reject', 'queue']);
  oneOf('codec', codec, codecs);
  if (database !== undefined && !(Number.isInteger(database) && database >= 0)) {
    throw new ValidationError(`database is ${database}, not a whole number from 0 on`);
  }
  fromZero('requestTimeoutMs', requestTimeoutMs);
  fromZero('reconnect.minMs', reconnect.minMs);
  fromZero('reconnect.maxMs', reconnect.maxMs);
  fromZero('reconnect.maxAttempts', reconnect.maxAttempts);
  return { ...options };
}

function oneOf(name: string, value: unknown, known: readonly string[]): void {
  if (value !== undefined && !known.includes(value as string)) {
    throw new ValidationError(`${name} is ${textOf(value)}, which is none of ${known.join(', ')}`);
  }
}

/** Refuses what is no number from 0 on; Infinity is one. */
export function fromZero(name: string, value: unknown): void {
  if (value !== undefined && !(typeof value === 'number' && value >= 0)) {
    throw new ValidationError(`${name} is ${textOf(value)}, not a number from 0 on`);
  }
}

/** Checks a value against the schema, and returns what the schema makes of it: at once, when the schema answers at once. */
export function validate<T>(schema: StandardSchemaV1<unknown, T> | undefined, value: unknown, what: string): T | Promise<T> {
  if (schema === undefined) {
    return value as T;
  }
  const read = (result: StandardSchemaV1.Result<T>): T => {
    if (result.issues !== undefined) {
      throw new ValidationError(`${what}: ${result.issues.map((issue) => issue.message).join('; ')}`, result.issues);
    }
    return result.value;
  };
  const result = schema['~standard'].validate(value);
  return result instanceof Promise ? result.then(read) : read(result);
}

/** Milliseconds for the wire: a whole number that is not negative. */
export function milliseconds(name: string, value: number): string {
  const rounded = Math.round(value);
  if (!Number.isSafeInteger(rounded) || value < 0) {
    throw new ValidationError(`${name} is ${value}, not a number of milliseconds from 0 on`);
  }
  return String(rounded);
}

/** Refuses numbers that are not whole and at least 1. */
export function positive(numbers: Record<string, number>): void {
  for (const [name, value] of Object.entries(numbers)) {
    if (!Number.isInteger(value) || value < 1) {
      throw new ValidationError(`${name} is ${value}, not a whole number from 1 on`);
    }
  }
}
