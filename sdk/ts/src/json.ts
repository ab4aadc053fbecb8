/**
 * JSON with whole numbers of any size. JSON.parse rounds those that no number of JavaScript holds, so that reading and writing a
 * value would change it: they are bigint here, and written as they were. All others are what they always are.
 */
import { randomUUID } from 'node:crypto';

/** Where there may be a long whole number: at the beginning, or behind what a number can follow. */
const long = /(?:^|[:,[\s])-?\d{16,}/;
/** A string, or a number. */
const token = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const whole = /^-?\d{16,}$/;

function isRounded(digits: string): boolean {
  return whole.test(digits) && !Number.isSafeInteger(Number(digits));
}

/** Reads JSON. Throws a SyntaxError for what is none. */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (!long.test(text)) {
    return value;
  }
  const mark = randomUUID(); // nobody's text begins with it
  let found = false;
  const marked = text.replace(token, (part) => {
    if (!isRounded(part)) {
      return part;
    }
    found = true;
    return `"${mark}${part}"`;
  });
  if (!found) {
    return value;
  }
  return JSON.parse(marked, (_, part) =>
    typeof part === 'string' && part.startsWith(mark) ? BigInt(part.slice(mark.length)) : part,
  );
}

/**
 * Writes JSON; undefined for what is left out of it. Throws a TypeError for cycles, and for a bigint that a number holds: that is
 * what it would be when it is read.
 */
export function writeJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return writeWithDigits(value);
  }
}

function writeWithDigits(value: unknown): string | undefined {
  const mark = randomUUID();
  const text = JSON.stringify(value, (key, part) => {
    if (typeof part !== 'bigint') return part;
    if (Number.isSafeInteger(Number(part))) {
      throw new TypeError(`the bigint ${part} of "${key}" cannot be sent: it would come back as a number, so make it one`);
    }
    return `${mark}${part}`;
  });
  return text?.replace(new RegExp(`"${mark}(-?\\d+)"`, 'g'), '$1');
}
