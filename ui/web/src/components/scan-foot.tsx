import { counted, exact } from '../format/number'
import type { Searched } from '../queries/search'

/** How far a search has come, and the way on. */
export function ScanFoot<Row>({ search, noun }: { search: Searched<Row>; noun: string }) {
  const { rows, scanned, total, more, busy, stop } = search
  const share = total && total > 0 ? Math.min(1, scanned / total) : null
  return (
    <>
      <span role="status">
        {counted(rows.length, noun)} found, {exact(scanned)}
        {total !== null && ` of ${exact(total)}`} scanned
      </span>
      {share !== null && (
        <span className="meter grow" style={{ maxWidth: 160 }} aria-hidden>
          <span style={{ width: `${share * 100}%` }} />
        </span>
      )}
      {busy && (
        <button type="button" className="button small" onClick={stop}>
          Stop
        </button>
      )}
      {more && (
        <button type="button" className="button small" onClick={more}>
          Continue
        </button>
      )}
    </>
  )
}
