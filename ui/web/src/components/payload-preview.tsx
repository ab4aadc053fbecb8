import type { WirePayload } from '../api/types'
import { bytes as formatBytes } from '../format/number'
import { fromBase64, oneLine, readPayload } from '../format/payload'

/** The beginning that a row shows: a row is never wider than this many characters. */
const rowCharacters = 240

/** A payload in a row: its first line as text, or what kind of bytes it is. */
export function PayloadPreview({ payload }: { payload: WirePayload }) {
  if (payload.size === 0) return <span className="payload muted">empty</span>
  if (payload.b64 === '') return <span className="payload muted">hidden, {formatBytes(payload.size)}</span>
  const head = fromBase64(payload.b64.slice(0, 4 * Math.ceil(rowCharacters / 3)))
  const { text } = readPayload(head, payload.size > head.length)
  if (text === null) return <span className="payload muted">binary, {formatBytes(payload.size)}</span>
  return <span className="payload">{oneLine(text)}</span>
}
