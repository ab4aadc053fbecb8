import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { Codec } from './codec.js';
import { ValidationError } from './errors.js';

/** Receives what the SDK has to say; the console fits. */
export interface Logger {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

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

export interface NexoOptions {
  /** Default localhost. */
  host?: string;
  /** Default 7654. */
  port?: number;
  username?: string;
  password?: string;
  /** true, or the options of Node's tls.connect. */
  tls?:
    | boolean
    | { ca?: string | Buffer; cert?: string | Buffer; key?: string | Buffer; rejectUnauthorized?: boolean; servername?: string };
  /** Shown in CLIENT LIST and in the dashboard. */
  name?: string;
  /** How long a call may take; default 15,000. */
  requestTimeoutMs?: number;
  /** Delays between attempts to reconnect: minMs (500) with jitter, doubled up to maxMs (5,000). */
  reconnect?: { minMs?: number; maxMs?: number; maxAttempts?: number };
  /** What calls do while there is no connection: be rejected with NotConnectedError (default), or wait for it. */
  offline?: 'reject' | 'queue';
  /** On SIGTERM and SIGINT: close(), then let the signal have its effect. Default false. */
  onShutdownSignal?: boolean;
  telemetry?: NexoTelemetry;
  /** How values are written and read where a call does not say; default auto. */
  codec?: Codec;
  logger?: Logger;
  /** Default warn. */
  logLevel?: LogLevel;
}

/** Options of a single call. */
export interface CallOpts {
  /** Rejects the call; what was sent already is done by the server all the same. */
  signal?: AbortSignal;
  timeoutMs?: number;
}

/** Options of a typed queue, stream or topic. */
export interface TypedOptions<T> {
  /** Any Standard Schema (zod, valibot, ...): messages are checked before they are sent and before a handler sees them. */
  schema?: StandardSchemaV1<unknown, T>;
  as?: Codec;
}

/** Reads `nexo://user:password@host:port?tls=1&name=x`. */
export function parseUrl(text: string): NexoOptions {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new ValidationError(`"${text}" is not a URL such as nexo://localhost:7654`);
  }
  if (url.protocol !== 'nexo:' && url.protocol !== 'nexos:') {
    throw new ValidationError(`the URL begins with ${url.protocol}// and not with nexo:// or nexos://`);
  }
  if ((url.pathname !== '' && url.pathname !== '/') || url.hash !== '') {
    throw new ValidationError(`the URL goes on with ${url.pathname}${url.hash}, which means nothing here`);
  }
  // An address of IPv6 is in brackets only within a URL.
  const options: NexoOptions = { host: url.hostname.replace(/^\[(.*)\]$/, '$1') || 'localhost' };
  if (url.port !== '') options.port = Number(url.port);
  if (url.username !== '') options.username = decodeURIComponent(url.username);
  if (url.password !== '') options.password = decodeURIComponent(url.password);
  if (url.protocol === 'nexos:') options.tls = true;
  for (const [name, value] of url.searchParams) {
    if (name === 'name') options.name = value;
    else if (name === 'tls' && value === '1') options.tls = true;
    else if (name === 'tls' && value === '0' && url.protocol === 'nexo:') options.tls = false;
    else throw new ValidationError(`the URL has ${name}=${value}, which is neither tls=1, tls=0 nor name=...`);
  }
  return options;
}

/** Checks a value against the schema, and returns what the schema makes of it. */
export async function validate<T>(schema: StandardSchemaV1<unknown, T> | undefined, value: unknown, what: string): Promise<T> {
  if (schema === undefined) {
    return value as T;
  }
  const result = await schema['~standard'].validate(value);
  if (result.issues !== undefined) {
    throw new ValidationError(`${what}: ${result.issues.map((issue) => issue.message).join('; ')}`, result.issues);
  }
  return result.value;
}

/** Milliseconds for the wire: a whole number that is not negative. */
export function milliseconds(name: string, value: number): string {
  if (!Number.isFinite(value) || value < 0) {
    throw new ValidationError(`${name} is ${value}, not a number of milliseconds from 0 on`);
  }
  return String(Math.round(value));
}
