import { Copy, Download } from 'lucide-react'
import { useMemo, useState } from 'react'
import { bytes as formatBytes } from '../format/number'
import { hexLimit, hexRows, type PayloadForm, readPayload } from '../format/payload'
import { JsonTree } from './json-tree'
import { tell } from './toast'

interface Props {
  raw: Uint8Array
  /** The full size when `raw` is only the beginning. */
  size?: number
  /** Fetches the rest; given when `raw` may be cut. */
  onLoadAll?: () => void
  /** The file name of a download. */
  fileName: string
}

const names: Record<PayloadForm, string> = { json: 'JSON', text: 'Text', hex: 'Hex' }

/** A payload as JSON, text or hex, to copy or to save. It never becomes markup. */
export function PayloadView({ raw, size = raw.length, onLoadAll, fileName }: Props) {
  const payload = useMemo(() => readPayload(raw), [raw])
  const [wanted, setWanted] = useState<PayloadForm>('json')
  const form = payload.forms.includes(wanted) ? wanted : (payload.forms[0] ?? 'hex')
  const cut = raw.length < size
  if (raw.length === 0 && size > 0) return <p className="muted">{formatBytes(size)}, hidden by this server.</p>
  const copy = async () => {
    await navigator.clipboard.writeText(
      payload.text ??
        hexRows(payload.bytes)
          .map((row) => row.hex)
          .join('\n'),
    )
    tell(payload.text === null ? 'Copied as hex' : 'Copied')
  }
  const save = () => {
    const address = URL.createObjectURL(new Blob([payload.bytes.slice()]))
    const link = document.createElement('a')
    link.href = address
    link.download = fileName
    link.click()
    URL.revokeObjectURL(address)
  }
  return (
    <div className="payload-view">
      <div className="row wrap">
        <fieldset className="segments" aria-label="Show as">
          {payload.forms.map((each) => (
            <button key={each} type="button" aria-pressed={each === form} onClick={() => setWanted(each)}>
              {names[each]}
            </button>
          ))}
        </fieldset>
        <span className="muted number grow">{formatBytes(size)}</span>
        <button type="button" className="button quiet small icon" aria-label="Copy payload" title="Copy" onClick={copy}>
          <Copy aria-hidden />
        </button>
        <button type="button" className="button quiet small icon" aria-label="Save payload" title="Save" onClick={save}>
          <Download aria-hidden />
        </button>
      </div>
      {form === 'json' && (
        <section className="payload-json" aria-label="Payload as JSON">
          <JsonTree value={payload.json} />
        </section>
      )}
      {form === 'text' && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
        <pre className="payload-text" tabIndex={0}>
          {payload.text === '' ? <span className="muted">empty</span> : payload.text}
        </pre>
      )}
      {form === 'hex' && <Hex bytes={payload.bytes} />}
      {cut && (
        <p className="row muted">
          The first {formatBytes(raw.length)} of {formatBytes(size)}.
          {onLoadAll && (
            <button type="button" className="button small" onClick={onLoadAll}>
              Load all
            </button>
          )}
        </p>
      )}
    </div>
  )
}

function Hex({ bytes }: { bytes: Uint8Array }) {
  const rows = useMemo(() => hexRows(bytes), [bytes])
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard */}
      <pre className="payload-hex" tabIndex={0}>
        {rows.length === 0 && <span className="muted">empty</span>}
        {rows.map((row) => (
          <div key={row.offset}>
            <i>{row.offset}</i> {row.hex.padEnd(49)} <i>{row.text}</i>
          </div>
        ))}
      </pre>
      {bytes.length > hexLimit && (
        <p className="muted">Hex shows the first {formatBytes(hexLimit)}; save the payload to see the rest.</p>
      )}
    </>
  )
}
