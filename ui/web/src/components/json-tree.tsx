import { useState } from 'react'
import { counted } from '../format/number'

/** Children shown at once; the rest is asked for, so that a list of 50,000 does not become 50,000 elements. */
const step = 100

interface Props {
  value: unknown
  name?: string | undefined
  depth?: number
}

/** JSON as a folding tree. Everything is text: nothing in a payload is ever markup. */
export function JsonTree({ value, name, depth = 0 }: Props) {
  const [open, setOpen] = useState(depth < 2)
  const [shown, setShown] = useState(step)
  const label = name === undefined ? null : <span className="json-key">{JSON.stringify(name)}: </span>
  if (typeof value !== 'object' || value === null) {
    return (
      <div>
        {label}
        <Scalar value={value} />
      </div>
    )
  }
  const list = Array.isArray(value)
  const children: [string | undefined, unknown][] = list
    ? value.map((item) => [undefined, item])
    : Object.entries(value)
  const [left, right] = list ? ['[', ']'] : ['{', '}']
  if (children.length === 0) {
    return (
      <div>
        {label}
        {left}
        {right}
      </div>
    )
  }
  return (
    <div>
      <button
        type="button"
        className="json-fold"
        aria-expanded={open}
        aria-label={`${open ? 'Fold' : 'Unfold'} ${name ?? (list ? 'list' : 'object')}`}
        onClick={() => setOpen(!open)}
      >
        {open ? '▾' : '▸'}
      </button>
      {label}
      {left}
      {open ? (
        <>
          <div className="json-children">
            {children.slice(0, shown).map(([key, child], index) => (
              <JsonTree key={key ?? index} name={key} value={child} depth={depth + 1} />
            ))}
            {children.length > shown && (
              <button type="button" className="button small" onClick={() => setShown(shown + 10 * step)}>
                {children.length - shown} more
              </button>
            )}
          </div>
          {right}
        </>
      ) : (
        <span className="muted">
          {' '}
          {counted(children.length, list ? 'item' : 'field')} {right}
        </span>
      )}
    </div>
  )
}

function Scalar({ value }: { value: unknown }) {
  if (typeof value === 'string') return <span className="json-string">{JSON.stringify(value)}</span>
  if (typeof value === 'number') return <span className="json-number">{String(value)}</span>
  return <span className="json-word">{String(value)}</span>
}
