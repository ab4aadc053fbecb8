import { useEffect, useState } from 'react'
import { span } from '../format/time'
import { useFeedState } from './react'

/** The wall clock, ticking once a second while something on the page needs it. */
export function useNow(active = true): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    if (!active) return
    setNow(Date.now())
    const tick = setInterval(() => setNow(Date.now()), 1000)
    return () => clearInterval(tick)
  }, [active])
  return now
}

/** Says that the numbers are old, and how old. It goes when data arrives, not when a socket opens. */
export function FeedBanner() {
  const { phase, freshAt, polled, updated } = useFeedState()
  const now = useNow(phase === 'stale')
  if (phase === 'stale') {
    return (
      <div className="banner" role="alert">
        {freshAt === null
          ? 'No live data yet'
          : `Live data paused: last update ${span(Math.max(now - freshAt, 1000))} ago`}
        <span className="muted">The server cannot be reached. Trying again.</span>
      </div>
    )
  }
  if (polled) {
    return (
      <div className="banner" role="status">
        Polled every two seconds
        <span className="muted">
          No WebSocket comes through to the server: a proxy in between has to pass the Upgrade header on. Live tails
          stay empty.
        </span>
      </div>
    )
  }
  if (updated) {
    return (
      <div className="banner" role="status">
        The server runs another version now.
        <button type="button" className="button small" onClick={() => location.reload()}>
          Reload the dashboard
        </button>
      </div>
    )
  }
  return null
}

export function FeedPulse() {
  const { phase, hello, polled } = useFeedState()
  const words = { live: polled ? 'Polled' : 'Live', stale: 'Stale', connecting: 'Connecting', asleep: 'Paused' }[phase]
  const state = phase === 'live' ? 'live' : phase === 'stale' ? 'stale' : 'waiting'
  return (
    <div className="row wide">
      <span className="pulse" data-state={state}>
        {words}
      </span>
      {hello && <span className="number">{hello.srv}</span>}
    </div>
  )
}
