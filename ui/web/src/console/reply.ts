import type { Reply } from '../api/types'
import { fromBase64 } from '../format/payload'

/** A reply as redis-cli prints it, so that what is learned in one place holds in the other. */
export function formatReply(reply: Reply): string {
  switch (reply.t) {
    case 'null':
      return '(nil)'
    case 'status':
      return reply.v
    case 'error':
      return `(error) ${reply.v}`
    case 'int':
      return `(integer) ${reply.v}`
    case 'double':
      return `(double) ${reply.v}`
    case 'bool':
      return reply.v ? '(true)' : '(false)'
    case 'bulk':
      return reply.v.b64 === undefined ? quoteText(reply.v.text ?? '') : quoteBytes(fromBase64(reply.v.b64))
    case 'array':
      return list(
        reply.v.map((each) => formatReply(each)),
        ')',
        '(empty array)',
      )
    case 'map':
      return list(
        reply.v.map(([key, value]) => {
          const name = formatReply(key)
          return `${name} => ${indent(formatReply(value), name.length + 4)}`
        }),
        '#',
        '(empty hash)',
      )
  }
}

function list(items: string[], mark: string, empty: string): string {
  if (items.length === 0) return empty
  const width = String(items.length).length
  return items.map((item, index) => `${String(index + 1).padStart(width)}${mark} ${indent(item, width + 2)}`).join('\n')
}

function indent(text: string, by: number): string {
  return text.replaceAll('\n', `\n${' '.repeat(by)}`)
}

const named: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '"': '\\"', '\\': '\\\\' }

function quoteText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is escaped
  const escaped = text.replace(/["\\\u0000-\u001f\u007f]/g, (each) => named[each] ?? hex(each.charCodeAt(0)))
  return `"${escaped}"`
}

function quoteBytes(bytes: Uint8Array): string {
  const text = Array.from(bytes, (byte) => {
    const character = String.fromCharCode(byte)
    return named[character] ?? (byte >= 0x20 && byte < 0x7f ? character : hex(byte))
  })
  return `"${text.join('')}"`
}

function hex(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`
}
