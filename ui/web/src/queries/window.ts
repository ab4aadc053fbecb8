import { keepPreviousData, useQueries } from '@tanstack/react-query'
import { useCallback, useEffect, useRef, useState } from 'react'
import { problemOf } from '../http/client'

const pageSize = 100
/** A list that changes under the reader is read again this often, the pages in sight alone. */
const refreshEvery = 2000
/** Pages flown over while scrolling are not fetched: the window must rest this long. */
const restFor = 60

interface Fetched<Row> {
  total: number
  rows: Row[]
}

interface Options<Row> {
  key: unknown[]
  fetch: (offset: number, count: number, signal: AbortSignal) => Promise<Fetched<Row>>
  /** How many rows there are as far as the page knows from elsewhere; the fetched total wins. */
  live: boolean
}

export interface Windowed<Row> {
  total: number | null
  row: (index: number) => Row | undefined
  onWindow: (first: number, last: number) => void
  problem: string | null
}

/** Random access to a long list on the server: the pages in sight are fetched, and kept fresh while `live`. */
export function useWindowed<Row>({ key, fetch, live }: Options<Row>): Windowed<Row> {
  const [range, setRange] = useState({ from: 0, to: 0 })
  const rest = useRef<ReturnType<typeof setTimeout>>(undefined)
  const onWindow = useCallback((first: number, last: number) => {
    const from = Math.floor(first / pageSize)
    const to = Math.floor(last / pageSize)
    clearTimeout(rest.current)
    rest.current = setTimeout(
      () => setRange((before) => (before.from === from && before.to === to ? before : { from, to })),
      restFor,
    )
  }, [])
  useEffect(() => () => clearTimeout(rest.current), [])
  const identity = JSON.stringify(key)
  // biome-ignore lint/correctness/useExhaustiveDependencies: another list begins at its top
  useEffect(() => setRange({ from: 0, to: 0 }), [identity])

  const pages = Array.from({ length: range.to - range.from + 1 }, (_, index) => range.from + index)
  const results = useQueries({
    queries: pages.map((page) => ({
      queryKey: [...key, 'page', page],
      queryFn: ({ signal }: { signal: AbortSignal }) => fetch(page * pageSize, pageSize, signal),
      refetchInterval: live ? refreshEvery : (false as const),
      placeholderData: keepPreviousData<Fetched<Row>>,
      gcTime: 30_000,
    })),
  })
  const known = results.find((result) => result.data)
  const failed = results.find((result) => result.error)
  const totals = useRef<{ identity: string; total: number } | null>(null)
  if (known?.data) totals.current = { identity, total: known.data.total }
  const row = (index: number) => {
    const result = results[Math.floor(index / pageSize) - range.from]
    return result?.isPlaceholderData ? undefined : result?.data?.rows[index % pageSize]
  }
  const total = totals.current?.identity === identity ? totals.current.total : null
  return { total, row, onWindow, problem: failed ? problemOf(failed.error) : null }
}
