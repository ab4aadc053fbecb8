import { Copy, Download } from 'lucide-react'
import { useMemo, useState } from 'react'
import type { WirePayload } from '../api/types'
import { bytes as formatBytes } from '../format/number'
import { fromBase64, hexLimit, hexRows, type Payload, type PayloadForm, readPayload } from '../format/payload'
import { problemOf } from '../http/client'
import { JsonTree } from './json-tree'
import { tell } from './toast'

interface Props {
  payload: WirePayload
  /** Fetches the whole, where the payload may be the beginning alone and the server still has the rest. */
  loadAll?: () => Promise<WirePayload>
  /** The name of a saved file, without its extension. */
  fileName: string
}

const names: Record<PayloadForm, string> = { json: 'JSON', text: 'Text', hex: 'Hex' }
const extensions: Record<PayloadForm, string> = { json: 'json', text: 'txt', hex: 'bin' }

/** Digits that are not all kept once JavaScript has read them as a number. */
const longNumber = /[:,[\s]-?\d{16}/

function read({ b64, size }: WirePayload): Payload {
  const raw = fromBase64(b64)
  return readPayload(raw, raw.length < size)
}

/** A payload as JSON, text or hex, to copy or to save. It never becomes markup. */
export function PayloadView({ payload: given, loadAll, fileName }: Props) {
  const [loaded, setLoaded] = useState<{ instead: string; whole: WirePayload } | null>(null)
  const shown = loaded?.instead === given.b64 ? loaded.whole : given
  const payload = useMemo(() => read(shown), [shown])
  const [wanted, setWanted] = useState<PayloadForm>('json')
  const form = payload.forms.includes(wanted) ? wanted : (payload.forms[0] ?? 'hex')
  const size = formatBytes(shown.size)
  if (shown.b64 === '' && shown.size > 0) return <p className="muted">{size}, hidden by this server.</p>
  const here = fromBase64(shown.b64).length
  const cut = here < shown.size
  const whole = async () => (cut && loadAll ? loadAll() : shown)
  const attempt = (act: () => Promise<unknown>) => () => act().catch((error) => tell(problemOf(error), 'bad'))
  const showAll = attempt(async () => setLoaded({ instead: given.b64, whole: await whole() }))
  const copy = attempt(async () => {
    const { text, bytes } = read(await whole())
    const hex = () => hexRows(bytes).map((row) => row.hex)
    await navigator.clipboard.writeText(text ?? hex().join('\n'))
    tell(text === null ? 'Copied as hex' : 'Copied')
  })
  const save = attempt(async () => {
    const { bytes, forms } = read(await whole())
    // A type that says nothing keeps the browser from adding an extension of its own.
    const address = URL.createObjectURL(new Blob([bytes.slice()], { type: 'application/octet-stream' }))
    const link = document.createElement('a')
    link.href = address
    link.download = `${fileName}.${extensions[forms[0] ?? 'hex']}`
    link.click()
    URL.revokeObjectURL(address)
  })
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
        <span className="muted number grow">{size}</span>
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
      {form === 'json' && longNumber.test(payload.text ?? '') && (
        <p className="muted">A browser rounds numbers of more than 15 digits; Text shows them as they are.</p>
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
          The first {formatBytes(here)} of {size}
          {loadAll ? '.' : ' came with the live tail.'}
          {loadAll && (
            <button type="button" className="button small" onClick={showAll}>
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
