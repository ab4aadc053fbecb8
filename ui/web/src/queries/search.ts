import { useInfiniteQuery } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import type { Page } from '../api/types'
import { problemOf } from '../http/client'

/** A search goes on by itself until it has this many rows; after that the reader asks for more. */
const enough = 100

interface Options<Row> {
  key: unknown[]
  fetch: (cursor: string | null, signal: AbortSignal) => Promise<Page<Row>>
  enabled?: boolean
}

export interface Searched<Row> {
  rows: Row[]
  scanned: number
  total: number | null
  /** Null at the end, else goes on from where the last page stopped. */
  more: (() => void) | null
  busy: boolean
  stop: () => void
  problem: string | null
  loaded: boolean
}

/** A list behind cursors: each answer is one bounded scan on the server, so a search in a million rows never blocks it. */
export function useSearch<Row>({ key, fetch, enabled = true }: Options<Row>): Searched<Row> {
  const identity = JSON.stringify(key)
  const [stopped, setStopped] = useState<string | null>(null)
  const query = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam, signal }) => fetch(pageParam, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.next,
    enabled,
    gcTime: 30_000,
  })
  const pages = query.data?.pages ?? []
  const rows = pages.flatMap((page) => page.rows)
  const { hasNextPage, isFetching, isError, fetchNextPage } = query
  const goOn = enabled && hasNextPage && !isFetching && !isError && stopped !== identity && rows.length < enough
  useEffect(() => {
    if (goOn) void fetchNextPage()
  }, [goOn, fetchNextPage])
  return {
    rows,
    scanned: pages.reduce((sum, page) => sum + (page.scanned ?? page.rows.length), 0),
    total: pages[pages.length - 1]?.total ?? null,
    more: hasNextPage && !isFetching ? () => void fetchNextPage() : null,
    busy: isFetching,
    stop: () => setStopped(identity),
    problem: query.error ? problemOf(query.error) : null,
    loaded: pages.length > 0,
  }
}
