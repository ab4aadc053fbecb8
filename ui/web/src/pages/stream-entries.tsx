import { useInfiniteQuery } from '@tanstack/react-query'
import { ArrowDownToLine, ArrowUpToLine } from 'lucide-react'
import { type SubmitEvent, useCallback, useEffect, useState } from 'react'
import { useAddress } from '../address'
import { fetchEntries } from '../api/stream'
import type { Entry } from '../api/types'
import { Empty, Panel } from '../components/panel'
import { PayloadPreview } from '../components/payload-preview'
import { type Column, VirtualTable } from '../components/virtual-table'
import { bytes, counted } from '../format/number'
import { clock, moment } from '../format/time'
import { problemOf } from '../http/client'
import { useEscape } from '../keys'
import { EntryDetail } from './entry-detail'

const pageSize = 200

export const entryColumns: Column<Entry>[] = [
  {
    id: 'offset',
    title: 'Offset',
    width: 'minmax(70px, 110px)',
    cell: (entry) => <span className="number">{entry.offset}</span>,
  },
  {
    id: 'time',
    title: 'Time',
    width: '96px',
    cell: (entry) => (
      <time className="number muted" title={moment(entry.ms)}>
        {clock(entry.ms)}
      </time>
    ),
  },
  {
    id: 'payload',
    title: 'Payload',
    width: 'minmax(140px, 1fr)',
    cell: (entry) =>
      entry.fields ? (
        <span className="payload">{entry.fields.map(([name, value]) => `${name}=${value}`).join('  ')}</span>
      ) : (
        <PayloadPreview payload={entry.payload} />
      ),
  },
  {
    id: 'size',
    title: 'Size',
    width: '70px',
    end: true,
    cell: (entry) => <span className="muted">{bytes(entry.payload.size)}</span>,
  },
]

/** What was typed as a position in the server's words: an offset, or a local time. Null when it is neither. */
export function readPosition(text: string): string | null {
  const trimmed = text.trim()
  if (/^\d+$/.test(trimmed) || trimmed === 'first' || trimmed === 'last') return trimmed
  if (/^@\d+$/.test(trimmed)) return trimmed
  const time = Date.parse(trimmed)
  return Number.isNaN(time) ? null : `@${time}`
}

export function StreamEntries({ name }: { name: string }) {
  const { get, set } = useAddress()
  const from = get('from') ?? 'last'
  const open = get('offset')
  const reverse = from === 'last'
  const query = useInfiniteQuery({
    queryKey: ['entries', name, from],
    queryFn: ({ pageParam, signal }) => fetchEntries(name, pageParam, reverse, pageSize, signal),
    initialPageParam: from,
    getNextPageParam: (last) => last.next,
    gcTime: 30_000,
  })
  const entries = query.data?.pages.flatMap((page) => page.rows) ?? []
  const close = useCallback(() => set({ offset: null }), [set])
  useEscape(open !== null, close)
  const { hasNextPage, isFetching, fetchNextPage } = query
  const [lastSeen, setLastSeen] = useState(0)
  const wantMore = hasNextPage && !isFetching && lastSeen >= entries.length - 20
  useEffect(() => {
    if (wantMore) void fetchNextPage()
  }, [wantMore, fetchNextPage])
  return (
    <div className="split" data-open={open !== null}>
      <Panel
        label="Entries"
        title={
          <Position key={from} from={from} onGo={(position) => set({ from: position === 'last' ? null : position })} />
        }
        foot={
          <>
            <span>
              {counted(entries.length, 'entry', 'entries')} read, {reverse ? 'newest first' : 'oldest first'}
            </span>
            <button type="button" className="button small" onClick={() => query.refetch()} disabled={isFetching}>
              Read again
            </button>
          </>
        }
      >
        <VirtualTable
          label={`Entries of ${name}`}
          columns={entryColumns}
          count={entries.length}
          row={(index) => entries[index]}
          rowKey={(entry) => entry.offset}
          selected={open}
          onOpen={(entry) => set({ offset: entry.offset })}
          onWindow={useCallback((_first: number, last: number) => setLastSeen(last), [])}
          problem={query.error && problemOf(query.error)}
          empty={
            query.isPending ? (
              <Empty title="Loading" />
            ) : (
              <Empty title="No entry here" command={`redis-cli -p 7654 XAPPEND ${name} 'hello'`}>
                The stream is empty, or nothing was appended at or after this position.
              </Empty>
            )
          }
        />
      </Panel>
      {open !== null && <EntryDetail key={open} stream={name} offset={open} onClose={close} />}
    </div>
  )
}

function Position({ from, onGo }: { from: string; onGo: (position: string) => void }) {
  const [text, setText] = useState(from === 'first' || from === 'last' ? '' : from)
  const [wrong, setWrong] = useState(false)
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    const position = readPosition(text)
    setWrong(position === null)
    if (position !== null) onGo(position)
  }
  return (
    <form className="row wrap grow" onSubmit={submit}>
      <div className="segments">
        <button type="button" aria-pressed={from === 'last'} onClick={() => onGo('last')}>
          <ArrowUpToLine size={11} aria-hidden /> Newest
        </button>
        <button type="button" aria-pressed={from === 'first'} onClick={() => onGo('first')}>
          <ArrowDownToLine size={11} aria-hidden /> Oldest
        </button>
      </div>
      <input
        className="input"
        style={{ maxWidth: 230 }}
        data-search
        aria-label="Go to an offset or a time"
        aria-invalid={wrong}
        placeholder="Offset or 2026-01-31 14:30"
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <button type="submit" className="button">
        Go
      </button>
      {wrong && (
        <span className="bad" role="alert">
          Neither an offset nor a time
        </span>
      )}
    </form>
  )
}
