/**
 * The payload codec "nexo/1": what is written is readable for every Redis client, and what this SDK wrote comes back as it
 * was. sdk/codec-vectors.json holds its vectors.
 */

import { parseJson, writeJson } from './json.js';

/** The ways to write and read values. */
export const codecs = ['auto', 'json', 'text', 'bytes'] as const;

/** How a value is written or read: by the codec's rules, or explicitly. */
export type Codec = (typeof codecs)[number];

/** What is written for a Buffer that is valid UTF-8, in front of it, so that it does not come back as text. */
const marker = Buffer.from([0xff, 0x6e, 0x62]);
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function utf8(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** The value that a text stands for when it is not just text: undefined when it is. */
function jsonOf(text: string): { value: unknown } | undefined {
  if (text === 'true' || text === 'false' || text === 'null') {
    return { value: text === 'null' ? null : text === 'true' };
  }
  const first = text[0];
  if (first === '{' || first === '[' || first === '"') {
    try {
      return { value: parseJson(text) };
    } catch {
      return undefined;
    }
  }
  // A number only when it would be written the same way again: long digits stay text.
  if (
    first !== undefined &&
    (first === '-' || (first >= '0' && first <= '9')) &&
    Number.isFinite(Number(text)) &&
    String(Number(text)) === text
  ) {
    return { value: Number(text) };
  }
  return undefined;
}

function bytesOf(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) {
    return value;
  }
  if (value instanceof ArrayBuffer) {
    return new Uint8Array(value);
  }
  return undefined;
}

function buffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Encodes a value for a command: nothing that the caller does with the value afterwards changes what is sent. What is text
 * stays a string: the connection joins strings and writes them at once, while each Buffer is a write of its own.
 */
export function encodeArg(value: unknown, as: Codec = 'auto'): string | Buffer {
  const bytes = bytesOf(value);
  if (as === 'bytes') {
    if (bytes === undefined) {
      throw new TypeError("{as: 'bytes'} takes a Buffer or a Uint8Array");
    }
    return Buffer.from(bytes);
  }
  if (as === 'text') {
    return String(value);
  }
  if (as === 'auto' && bytes !== undefined) {
    return utf8(bytes) === undefined && !buffer(bytes).subarray(0, marker.length).equals(marker)
      ? Buffer.from(bytes)
      : Buffer.concat([marker, bytes]);
  }
  if (as === 'auto' && typeof value === 'string' && jsonOf(value) === undefined && value.isWellFormed()) {
    return value;
  }
  if (as === 'auto' && typeof value === 'bigint') {
    throw new TypeError('a bigint alone cannot be sent: it would come back as text. Send its text, or an object that holds it');
  }
  const json = writeJson(value === undefined ? null : value);
  if (json === undefined) {
    throw new TypeError(`a ${typeof value} cannot be sent`);
  }
  return json;
}

/**
 * Encodes a value. Throws a TypeError for what cannot be written: functions, symbols, cycles, a bigint alone or one within JSON
 * that a number holds.
 */
export function encode(value: unknown, as: Codec = 'auto'): Buffer {
  const arg = encodeArg(value, as);
  return typeof arg === 'string' ? Buffer.from(arg) : arg;
}

/** Decodes a payload. */
export function decode<T = any>(payload: Uint8Array, as: Codec = 'auto'): T {
  const bytes = buffer(payload);
  if (as === 'bytes') {
    return bytes as T;
  }
  const text = as === 'text' || as === 'json' ? bytes.toString() : utf8(bytes);
  if (as === 'text') {
    return text as T;
  }
  if (as === 'json') {
    return parseJson(text as string) as T;
  }
  if (text === undefined) {
    return (bytes.subarray(0, marker.length).equals(marker) ? bytes.subarray(marker.length) : bytes) as T;
  }
  const json = jsonOf(text);
  return (json === undefined ? text : json.value) as T;
}
