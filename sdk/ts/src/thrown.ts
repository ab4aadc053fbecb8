/** What a handler, a callback or a schema of the application threw, which may be anything, so reading it may throw, too. */
import { inspect } from 'node:util';

/** The server keeps so many bytes of a reason, or refuses it. */
const longestReason = 1000;

function attempted<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Says in words what was thrown; never empty. */
export function textOf(thrown: unknown): string {
  if (typeof thrown === 'string') {
    return thrown || 'an empty text';
  }
  if ((typeof thrown !== 'object' && typeof thrown !== 'function') || thrown === null) {
    return String(thrown);
  }
  const message = attempted(() => (thrown as { message?: unknown }).message);
  if (typeof message === 'string' && message !== '') {
    return message;
  }
  const isError = attempted(() => thrown instanceof Error);
  const text = attempted(() => (isError ? String(thrown) : inspect(thrown, { breakLength: Number.POSITIVE_INFINITY })));
  return text || 'something that cannot be read';
}

/** What was thrown as an error: itself when it is one that can be read. */
export function asError(thrown: unknown): Error {
  const isError = attempted(
    () => thrown instanceof Error && typeof thrown.message === 'string' && typeof thrown.name === 'string',
  );
  return isError ? (thrown as Error) : new Error(textOf(thrown), { cause: thrown });
}

/** For the log: with the places that it came through, when it tells. */
export function stackOf(thrown: unknown): string {
  const stack = attempted(() => (thrown as Error).stack);
  return typeof stack === 'string' && stack !== '' ? stack : textOf(thrown);
}

/** Says why something failed, as long as the server keeps it. */
export function reasonOf(thrown: unknown): string {
  const text = textOf(thrown);
  const bytes = Buffer.from(text);
  if (bytes.length <= longestReason) {
    return text;
  }
  let end = longestReason;
  while (((bytes[end] as number) & 0xc0) === 0x80) end--; // not within a character
  return bytes.toString('utf8', 0, end);
}
