import { createContext, type ReactNode, useContext, useEffect, useRef, useState, useSyncExternalStore } from 'react'
import { basePath, get } from '../http/client'
import { Feed, type FeedState, type Poll, type Socket } from './client'

/** A page that nobody sees for this long lets its socket go, and takes a new one when it is seen again. */
const sleepAfter = 60_000

const FeedContext = createContext<Feed | null>(null)

function openSocket(): Socket {
  return new WebSocket(`${location.origin.replace(/^http/, 'ws')}${basePath}/api/ws?v=1`) as Socket
}

/** A polled chart has this many points: all of them every two seconds would be much for a slow way. */
const polledPoints = 150

const pollSnapshot: Poll = (topic, query) => {
  const wanted = topic === 'stats' ? { n: polledPoints } : query
  return get('snapshot', { topic, q: wanted && JSON.stringify(wanted) })
}

export function FeedProvider({ children }: { children: ReactNode }) {
  const [feed] = useState(() => new Feed(openSocket, pollSnapshot))
  useEffect(() => {
    let hidden: ReturnType<typeof setTimeout> | undefined
    const onVisibility = () => {
      clearTimeout(hidden)
      if (document.hidden) hidden = setTimeout(() => feed.sleep(), sleepAfter)
      else if (feed.getState().phase === 'asleep') feed.start()
    }
    feed.start()
    document.addEventListener('visibilitychange', onVisibility)
    return () => {
      clearTimeout(hidden)
      document.removeEventListener('visibilitychange', onVisibility)
      feed.sleep()
    }
  }, [feed])
  return <FeedContext.Provider value={feed}>{children}</FeedContext.Provider>
}

export function useFeed(): Feed {
  const feed = useContext(FeedContext)
  if (!feed) throw new Error('useFeed outside of FeedProvider')
  return feed
}

export function useFeedState(): FeedState {
  const feed = useFeed()
  return useSyncExternalStore(feed.listen, feed.getState)
}

export interface Live<Data> {
  data: Data | null
  /** The query that the data answers: while a new one is on its way, it is the one before. */
  query: Record<string, unknown> | null
  problem: string | null
}

type Reduce<Data> = (before: Data, delta: { up: unknown[]; del: string[]; data: Record<string, unknown> }) => Data

/**
 * A state topic: the newest snapshot with the deltas folded in. Null until the first snapshot; another query starts
 * over, showing the old data until the new arrives.
 */
export function useTopic<Data>(topic: string, query: Record<string, unknown> | null, reduce: Reduce<Data>): Live<Data> {
  const feed = useFeed()
  const [live, setLive] = useState<Live<Data>>({ data: null, query: null, problem: null })
  const fold = useRef(reduce)
  fold.current = reduce
  const key = JSON.stringify(query)
  useEffect(() => {
    const parsed = JSON.parse(key) as Record<string, unknown> | null
    return feed.subscribe({
      topic,
      ...(parsed ? { query: parsed } : {}),
      onSnapshot: (data) => setLive({ data: data as Data, query: parsed, problem: null }),
      onDelta: (delta) =>
        setLive((before) => (before.data === null ? before : { ...before, data: fold.current(before.data, delta) })),
      onProblem: (_code, problem) => setLive({ data: null, query: parsed, problem }),
    })
  }, [feed, topic, key])
  return live
}

export interface Rows<Row> {
  total: number
  rows: Row[]
}

/** Folds changed and removed rows into a window of rows, in the order that the server gives when it changed. */
export function foldRows<Row>(keyOf: (row: Row) => string): Reduce<Rows<Row>> {
  return (before, delta) => {
    const byKey = new Map(before.rows.map((row) => [keyOf(row), row]))
    for (const key of delta.del) byKey.delete(key)
    for (const row of delta.up as Row[]) byKey.set(keyOf(row), row)
    const order = delta.data.order as string[] | undefined
    const rows = order ? order.flatMap((key) => byKey.get(key) ?? []) : [...byKey.values()]
    return { total: (delta.data.total as number | undefined) ?? before.total, rows }
  }
}

/** Folds changed top-level fields into an object. */
export function foldFields<Data extends object>(before: Data, delta: { data: Record<string, unknown> }): Data {
  return { ...before, ...delta.data }
}

export interface Tail<Item> {
  items: Item[]
  rate: number
  dropped: number
}

/**
 * A tail: the newest `keep` items, newest first. Frames are collected and shown once per animation frame; a paused
 * tail subscribes to nothing, so it costs the server nothing.
 */
export function useTail<Item>(topic: string, query: Record<string, unknown>, paused: boolean, keep = 2000) {
  const feed = useFeed()
  const [tail, setTail] = useState<Tail<Item>>({ items: [], rate: 0, dropped: 0 })
  const [problem, setProblem] = useState<string | null>(null)
  const key = JSON.stringify(query)
  const shownFor = useRef('')
  useEffect(() => {
    const identity = `${topic} ${key}`
    if (shownFor.current !== identity) setTail({ items: [], rate: 0, dropped: 0 })
    shownFor.current = identity
    if (paused) return
    let waiting: { items: Item[]; rate: number; dropped: number } | null = null
    let frame = 0
    const show = () => {
      const next = waiting
      waiting = null
      if (!next) return
      setTail((before) => ({
        items: [...next.items.reverse(), ...before.items].slice(0, keep),
        rate: next.rate,
        dropped: before.dropped + next.dropped,
      }))
    }
    setProblem(null)
    const stop = feed.subscribe({
      topic,
      query: JSON.parse(key) as Record<string, unknown>,
      onEvents: (items, dropped, rate) => {
        waiting = {
          items: [...(waiting?.items ?? []), ...(items as Item[])],
          dropped: (waiting?.dropped ?? 0) + dropped,
          rate,
        }
        cancelAnimationFrame(frame)
        frame = requestAnimationFrame(show)
      },
      onProblem: (_code, text) => setProblem(text),
    })
    return () => {
      cancelAnimationFrame(frame)
      stop()
    }
  }, [feed, topic, key, paused, keep])
  return { ...tail, problem, clear: () => setTail({ items: [], rate: 0, dropped: 0 }) }
}
