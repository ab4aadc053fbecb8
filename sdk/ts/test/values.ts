import { expect } from 'vitest';
import type { NexoError } from '../src/index.js';

/** Rejects unless the promise is rejected with this kind of error and code. */
export async function rejected(
  promise: Promise<unknown>,
  kind: abstract new (...a: any[]) => Error,
  code?: string,
): Promise<NexoError> {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(kind);
  if (code !== undefined) expect((error as NexoError).code).toBe(code);
  return error as NexoError;
}

/** toStrictEqual, which is slow for large Buffers. */
export function same(got: unknown, want: unknown): void {
  if (Buffer.isBuffer(want)) {
    expect(Buffer.isBuffer(got) && got.equals(want)).toBe(true);
  } else {
    expect(got).toStrictEqual(want);
  }
}

export const values: [string, unknown][] = [
  ['text', 'hello'],
  ['an empty string', ''],
  ['unicode', 'grüße 日本 🚀'],
  ['text that looks like a number', '123'],
  ['text that looks like JSON', '{"a":1}'],
  ['a lone surrogate', '\ud800'],
  ['a number', 42.5],
  ['a boolean', false],
  ['null', null],
  ['a nested object', { a: [1, { b: 'c' }], d: null }],
  ['a big integer as text', '106242075399214372653'],
  ['a Buffer that is not UTF-8', Buffer.from([0, 255, 128, 10, 13])],
  ['a Buffer that is UTF-8', Buffer.from('text in a Buffer')],
  ['an empty Buffer', Buffer.alloc(0)],
  ['a megabyte', Buffer.alloc(1 << 20, 0xfe)],
];
