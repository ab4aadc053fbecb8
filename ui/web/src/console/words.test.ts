import { describe, expect, it } from 'vitest'
import { formatReply } from './reply'
import { splitWords } from './words'

describe('words of a command line', () => {
  it('splits at spaces and keeps what is quoted together', () => {
    expect(splitWords(`QPUSH mail '{"to": "ada"}' PRIORITY 9`)).toEqual([
      'QPUSH',
      'mail',
      '{"to": "ada"}',
      'PRIORITY',
      '9',
    ])
    expect(splitWords(`  SET  k ""  `)).toEqual(['SET', 'k', ''])
  })
  it('reads escapes in double quotes alone', () => {
    expect(splitWords(`SET k "a\\n\\x41\\""`)).toEqual(['SET', 'k', 'a\nA"'])
    expect(splitWords(`SET k 'a\\n\\''`)).toEqual(['SET', 'k', "a\\n'"])
  })
  it('refuses what redis-cli refuses', () => {
    expect(() => splitWords(`SET k "a`)).toThrow('A quote is not closed')
    expect(() => splitWords(`SET k "a"b`)).toThrow('A space must follow a closing quote')
  })
})

describe('replies', () => {
  it('are written as redis-cli writes them', () => {
    expect(formatReply({ t: 'null' })).toBe('(nil)')
    expect(formatReply({ t: 'int', v: '12' })).toBe('(integer) 12')
    expect(formatReply({ t: 'error', v: 'ERR no' })).toBe('(error) ERR no')
    expect(formatReply({ t: 'bulk', v: { text: 'a"b\n' } })).toBe('"a\\"b\\n"')
    expect(formatReply({ t: 'bulk', v: { b64: '/wAB' } })).toBe('"\\xff\\x00\\x01"')
    expect(formatReply({ t: 'array', v: [] })).toBe('(empty array)')
  })
  it('align what they nest', () => {
    const inner = {
      t: 'array' as const,
      v: [
        { t: 'int' as const, v: '1' },
        { t: 'int' as const, v: '2' },
      ],
    }
    expect(formatReply({ t: 'array', v: [inner, { t: 'status', v: 'OK' }] })).toBe(
      '1) 1) (integer) 1\n   2) (integer) 2\n2) OK',
    )
    expect(
      formatReply({
        t: 'map',
        v: [
          [
            { t: 'bulk', v: { text: 'k' } },
            { t: 'int', v: '1' },
          ],
        ],
      }),
    ).toBe('1# "k" => (integer) 1')
  })
})
