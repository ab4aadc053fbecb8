import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { fromBase64, hexRows, oneLine, prettyLimit, readPayload, textBytes, toBase64 } from './payload'

describe('payload', () => {
  it('offers JSON, text and hex for JSON objects', () => {
    const payload = readPayload(textBytes('{"a":[1,2]}'))
    expect(payload.forms).toEqual(['json', 'text', 'hex'])
    expect(payload.json).toEqual({ a: [1, 2] })
  })
  it('offers text and hex for what only begins like JSON', () => {
    expect(readPayload(textBytes('{not json')).forms).toEqual(['text', 'hex'])
    expect(readPayload(textBytes('42')).forms).toEqual(['text', 'hex'])
    expect(readPayload(textBytes('')).forms).toEqual(['text', 'hex'])
  })
  it('offers hex alone for bytes that are not UTF-8', () => {
    expect(readPayload(new Uint8Array([0xff, 0xfe, 0])).forms).toEqual(['hex'])
  })
  it('is text where the beginning ends in the middle of a character, and the rest is not there', () => {
    const head = textBytes('Grüße').subarray(0, 3)
    expect(readPayload(head, true).text).toBe('Gr')
    expect(readPayload(head).forms).toEqual(['hex'])
    expect(readPayload(new Uint8Array([0x61, 0xff, 0x62]), true).forms).toEqual(['hex'])
  })
  it('strips the marker of binary bytes that happen to be UTF-8', () => {
    const payload = readPayload(new Uint8Array([0xff, 0x6e, 0x62, 0x68, 0x69]))
    expect(payload.forms).toEqual(['hex'])
    expect(Array.from(payload.bytes)).toEqual([0x68, 0x69])
  })
  it('does not parse JSON that would freeze the page', () => {
    expect(readPayload(textBytes(`["${'x'.repeat(prettyLimit)}"]`)).forms).toEqual(['text', 'hex'])
  })
  it('keeps every byte through base64', () => {
    const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => index % 256)
    expect(fromBase64(toBase64(bytes))).toEqual(bytes)
  })
  it('writes hex rows of sixteen', () => {
    const rows = hexRows(textBytes('<img src=x onerror=alert(1)>'))
    expect(rows).toHaveLength(2)
    expect(rows[0]).toEqual({
      offset: '00000000',
      hex: '3c 69 6d 67 20 73 72 63  3d 78 20 6f 6e 65 72 72',
      text: '<img src=x onerr',
    })
  })
  it('keeps a list row on one line', () => {
    expect(oneLine('a\n\tb\u0000c')).toBe('a b·c')
  })
})

interface Vector {
  name: string
  payload: string
  text?: string
  json?: string
  bytes?: string
}

/** The vectors that the SDKs and the server are held to. */
const { vectors } = JSON.parse(readFileSync('../../sdk/codec-vectors.json', 'utf8')) as { vectors: Vector[] }
const fromHex = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))

describe('payloads of the SDK', () => {
  it.each(vectors)('show what was written: $name', ({ payload, text, json, bytes }) => {
    const raw = fromHex(payload)
    const read = readPayload(raw)
    if (bytes !== undefined) {
      expect(read.forms).toEqual(['hex'])
      expect(read.bytes).toEqual(fromHex(bytes))
      return
    }
    expect(read.text).toBe(new TextDecoder('utf-8', { ignoreBOM: true }).decode(raw))
    const value: unknown = json === undefined ? text : JSON.parse(json)
    // Numbers and words are shown as the text that they are, and a text as it is unless it was written in quotes.
    if (read.forms.includes('json')) expect(read.json).toEqual(value)
    else expect(json ?? text).toBe(read.text)
  })
})
