import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decode, encode } from '../src/index.js';

interface Vector {
  name: string;
  payload: string;
  text?: string;
  json?: string;
  bytes?: string;
  decodeOnly?: boolean;
}

const { vectors } = JSON.parse(readFileSync(new URL('../../codec-vectors.json', import.meta.url), 'utf8')) as {
  vectors: Vector[];
};

function valueIn(vector: Vector): unknown {
  if (vector.text !== undefined) return vector.text;
  if (vector.json !== undefined) return JSON.parse(vector.json);
  return Buffer.from(vector.bytes as string, 'hex');
}

describe('vectors', () => {
  it('are there', () => expect(vectors.length).toBeGreaterThan(50));

  it.each(vectors)('$name', (vector) => {
    const payload = Buffer.from(vector.payload, 'hex');
    expect(decode(payload)).toStrictEqual(valueIn(vector));
    if (!vector.decodeOnly) {
      expect(encode(valueIn(vector)).toString('hex')).toBe(vector.payload);
    }
  });
});

describe('what only JavaScript has', () => {
  it('writes undefined as null', () => expect(decode(encode(undefined))).toBe(null));
  it('writes -0 as 0', () => expect(decode(encode(-0))).toBe(0));
  it('writes a date as text', () => expect(decode(encode(new Date(0)))).toBe('1970-01-01T00:00:00.000Z'));
  it('keeps lone surrogates', () => expect(decode(encode('a\ud800'))).toBe('a\ud800'));
  it('takes a Uint8Array and an ArrayBuffer', () => {
    const bytes = Uint8Array.of(0, 1, 255);
    expect(decode(encode(bytes))).toStrictEqual(Buffer.from(bytes));
    expect(decode(encode(bytes.buffer))).toStrictEqual(Buffer.from(bytes));
  });
  it.each([() => 1, Symbol('x'), 1n, { big: 1n }])('refuses %s', (value) => {
    expect(() => encode(value)).toThrow(TypeError);
  });
  it('refuses a cycle', () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    expect(() => encode(cycle)).toThrow(TypeError);
  });
});

describe('whole numbers that no number holds', () => {
  const back = (text: string): unknown => encode(decode(Buffer.from(text))).toString();

  it('are read as bigint within JSON, and written as they were', () => {
    const text = '{"id":9007199254740993,"list":[-12345678901234567890,1,2.5,"9007199254740993",1e300]}';
    expect(decode(Buffer.from(text))).toStrictEqual({
      id: 9007199254740993n,
      list: [-12345678901234567890n, 1, 2.5, '9007199254740993', 1e300],
    });
    expect(back(text)).toBe(text.replace('1e300', '1e+300'));
    expect(decode(Buffer.from('9007199254740993'), 'json')).toBe(9007199254740993n);
    expect(encode(9007199254740993n, 'json').toString()).toBe('9007199254740993');
  });
  it.each([
    '[9007199254740991,-9007199254740991]',
    '[9007199254740992,-9007199254740992]',
    '["a 9007199254740993",":9007199254740993","\\",9007199254740993]',
    '{"9007199254740993":{"[9007199254740993":[[9007199254740993]]}}',
    '[ 9007199254740993 ,\n1234567890123456789012345678901234567890]',
  ])('are kept in %s', (text) => {
    const written = back(text) as string;
    expect(written).toBe(text.replaceAll(/[ \n](?=[\d,\]])/g, (space, at: number) => (text[at - 1] === 'a' ? space : '')));
  });
  it('are bigint only where a number would be another one', () => {
    expect(decode(Buffer.from('[1764256970123456,1764256970123456.0,100000000000000000000]'))).toStrictEqual([
      1764256970123456,
      1764256970123456,
      100000000000000000000n,
    ]);
  });
  it('do not make JSON of what is none', () => {
    for (const text of ['{9007199254740993:1}', '[9007199254740993', '[-]', '[01234567890123456789]']) {
      expect(decode(Buffer.from(text))).toBe(text);
    }
  });
  it('may be as long as they want', () => {
    const digits = '7'.repeat(100_000);
    expect(back(`[${digits}]`)).toBe(`[${digits}]`);
  });
});

describe('explicit forms', () => {
  it('json', () => {
    expect(encode('5', 'json').toString()).toBe('"5"');
    expect(decode(Buffer.from('1e5'), 'json')).toBe(100000);
    expect(() => decode(Buffer.from('{'), 'json')).toThrow(SyntaxError);
  });
  it('text', () => {
    expect(encode('5', 'text').toString()).toBe('5');
    expect(decode(Buffer.from('{"a":1}'), 'text')).toBe('{"a":1}');
  });
  it('bytes', () => {
    expect(encode(Buffer.from('hello'), 'bytes').toString()).toBe('hello');
    expect(decode(Buffer.from('hello'), 'bytes')).toStrictEqual(Buffer.from('hello'));
    expect(() => encode('hello', 'bytes')).toThrow(TypeError);
  });
});

it('gives random values back as they were', () => {
  let seed = 42;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  const letters = [
    'a',
    '0',
    '1',
    '.',
    '-',
    'e',
    '+',
    '"',
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    ' ',
    '\\',
    'ü',
    '\u0000',
    '\ud83d',
    '\udc4b',
  ];
  const text = (): string => Array.from({ length: random(8) }, () => letters[random(letters.length)]).join('');
  const value = (depth: number): unknown => {
    switch (depth > 0 && random(9) === 0 ? 8 : random(depth > 2 ? 6 : 8)) {
      case 0:
      case 1:
        return text();
      case 2:
        return (random(2 ** 24) - 2 ** 23) / 2 ** random(30);
      case 3:
        return random(2) === 0;
      case 4:
        return null;
      case 5:
        return depth === 0 ? Buffer.from(Array.from({ length: random(6) }, () => random(256))) : 1;
      case 6:
        return Array.from({ length: random(4) }, () => value(depth + 1));
      case 8:
        return (random(2) === 0 ? 1n : -1n) * (9007199254740992n + BigInt(random(2 ** 24)) ** 3n);
      default:
        return Object.fromEntries(Array.from({ length: random(4) }, () => [`k${text()}`, value(depth + 1)]));
    }
  };
  for (let round = 0; round < 20_000; round++) {
    const written = value(0);
    expect(decode(encode(written))).toStrictEqual(written);
  }
});
