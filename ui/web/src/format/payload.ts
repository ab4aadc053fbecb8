/** How a payload is shown. The bytes decide what is possible; the reader chooses. */
export type PayloadForm = 'json' | 'text' | 'hex'

/** Pretty-printing more than this freezes a browser; longer payloads are shown as text and can be downloaded. */
export const prettyLimit = 256 * 1024

/** Hex shows a window: nobody reads more, and a row costs 16 bytes. */
export const hexLimit = 64 * 1024

/** Bytes in the marker FF 6E 62 say "these bytes are binary although they are valid UTF-8". */
const binaryMarker = [0xff, 0x6e, 0x62]

export interface Payload {
  bytes: Uint8Array
  /** The text, when the bytes are UTF-8. */
  text: string | null
  /** The parsed value, when the text is a JSON object, array or string. Numbers and words are text enough. */
  json: unknown
  forms: PayloadForm[]
}

export function fromBase64(encoded: string): Uint8Array {
  const binary = atob(encoded)
  const bytes = new Uint8Array(binary.length)
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index)
  return bytes
}

export function toBase64(bytes: Uint8Array): string {
  let binary = ''
  for (let start = 0; start < bytes.length; start += 0x8000) {
    binary += String.fromCharCode(...bytes.subarray(start, start + 0x8000))
  }
  return btoa(binary)
}

export function textBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/**
 * Reads bytes as the SDK wrote them: UTF-8 or binary, and JSON when it parses as an object, an array or a string.
 * Where only the beginning is there it may end in the middle of a character, and is text all the same.
 */
export function readPayload(raw: Uint8Array, cut = false): Payload {
  const marked = binaryMarker.every((byte, index) => raw[index] === byte)
  const bytes = marked ? raw.subarray(binaryMarker.length) : raw
  const text = marked ? null : decodeText(bytes, cut)
  const json = text === null ? undefined : parseJson(text)
  const forms: PayloadForm[] = json === undefined ? [] : ['json']
  if (text !== null) forms.push('text')
  return { bytes, text, json, forms: [...forms, 'hex'] }
}

function decodeText(bytes: Uint8Array, cut: boolean): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: cut })
  } catch {
    return null // not UTF-8: the caller shows hex
  }
}

function parseJson(text: string): unknown {
  const first = text.charAt(0)
  if (text.length > prettyLimit || !['{', '[', '"'].includes(first)) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined // text that only begins like JSON is text
  }
}

export interface HexRow {
  offset: string
  hex: string
  text: string
}

/** Sixteen bytes a row, as hexdump -C writes them. */
export function hexRows(bytes: Uint8Array): HexRow[] {
  const rows: HexRow[] = []
  const end = Math.min(bytes.length, hexLimit)
  for (let start = 0; start < end; start += 16) {
    const slice = Array.from(bytes.subarray(start, Math.min(start + 16, end)))
    const pairs = slice.map((byte) => byte.toString(16).padStart(2, '0'))
    rows.push({
      offset: start.toString(16).padStart(8, '0'),
      hex: `${pairs.slice(0, 8).join(' ')}  ${pairs.slice(8).join(' ')}`.trimEnd(),
      text: slice.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·')).join(''),
    })
  }
  return rows
}

/** One line of a payload for a list: control characters would break the row, so they are shown as symbols. */
export function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
  return text.replace(/\s+/g, ' ').replace(/[\u0000-\u001f\u007f]/g, '·')
}
