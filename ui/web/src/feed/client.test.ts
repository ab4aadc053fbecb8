import { afterEach, beforeEach, describe, expect, it, type Mock, vi } from 'vitest'
import { HttpProblem } from '../http/client'
import { Feed, type Poll, type Socket } from './client'
import type { FromServer } from './wire'

class FakeSocket implements Socket {
  onopen = null
  onmessage: ((event: never) => void) | null = null
  onclose: ((event: never) => void) | null = null
  sent: { t: string; id?: number; topic?: string }[] = []
  closed = false
  send(text: string) {
    this.sent.push(JSON.parse(text))
  }
  close() {
    this.closed = true
  }
  receive(frame: FromServer) {
    this.onmessage?.({ data: JSON.stringify(frame) } as never)
  }
  end() {
    this.onclose?.({} as never)
  }
}

const hello: FromServer = { t: 'hello', v: 1, boot: 'b1', srv: '1.0.0', ro: false, now: 0 }
let sockets: FakeSocket[]
let feed: Feed
let poll: Mock<Poll>

function last(): FakeSocket {
  const socket = sockets[sockets.length - 1]
  if (!socket) throw new Error('no socket was opened')
  return socket
}

function subscriptions(socket = last()) {
  return socket.sent.filter((frame) => frame.t === 'sub')
}

beforeEach(() => {
  vi.useFakeTimers()
  sockets = []
  poll = vi.fn<Poll>()
  poll.mockRejectedValue(new Error('The server cannot be reached'))
  feed = new Feed(
    () => {
      const socket = new FakeSocket()
      sockets.push(socket)
      return socket
    },
    poll,
    Date.now,
    () => 0.5,
  )
  feed.start()
})

afterEach(() => {
  feed.sleep()
  vi.useRealTimers()
})

describe('feed', () => {
  it('subscribes after the greeting and hands on snapshots and deltas', () => {
    const seen: unknown[] = []
    feed.subscribe({ topic: 'queues', onSnapshot: (data) => seen.push(data), onDelta: (delta) => seen.push(delta.up) })
    expect(last().sent).toEqual([])
    last().receive(hello)
    expect(subscriptions()).toEqual([{ t: 'sub', id: 1, topic: 'queues' }])
    last().receive({ t: 'snap', id: 1, rev: 4, data: { total: 1 } })
    last().receive({ t: 'delta', id: 1, rev: 5, prev: 4, up: ['row'] })
    expect(seen).toEqual([{ total: 1 }, ['row']])
    expect(feed.getState().phase).toBe('live')
  })

  it('asks for a new snapshot when a delta is missing, and applies nothing until then', () => {
    const onDelta = vi.fn()
    feed.subscribe({ topic: 'queues', onDelta })
    last().receive(hello)
    last().receive({ t: 'snap', id: 1, rev: 4, data: {} })
    last().receive({ t: 'delta', id: 1, rev: 7, prev: 6 })
    expect(onDelta).not.toHaveBeenCalled()
    expect(subscriptions()).toHaveLength(2)
    last().receive({ t: 'delta', id: 1, rev: 8, prev: 7 })
    expect(onDelta).not.toHaveBeenCalled()
  })

  it('is stale after three seconds without data, although pings arrive, and live again with the first snapshot', () => {
    feed.subscribe({ topic: 'stats' })
    last().receive(hello)
    last().receive({ t: 'snap', id: 1, rev: 1, data: {} })
    vi.advanceTimersByTime(2400)
    last().receive({ t: 'ping' })
    expect(feed.getState().phase).toBe('live')
    vi.advanceTimersByTime(1000)
    expect(feed.getState().phase).toBe('stale')
    last().end()
    vi.advanceTimersByTime(600)
    expect(sockets).toHaveLength(2)
    last().receive(hello)
    expect(feed.getState().phase).toBe('stale')
    last().receive({ t: 'snap', id: 1, rev: 1, data: {} })
    expect(feed.getState().phase).toBe('live')
  })

  it('waits longer after each failure, and starts over after a greeting', () => {
    last().end()
    vi.advanceTimersByTime(500)
    last().end()
    vi.advanceTimersByTime(500)
    expect(sockets).toHaveLength(2)
    vi.advanceTimersByTime(500)
    expect(sockets).toHaveLength(3)
    last().receive(hello)
    last().end()
    vi.advanceTimersByTime(500)
    expect(sockets).toHaveLength(4)
  })

  it('takes every subscription over to the new socket', () => {
    feed.subscribe({ topic: 'stats' })
    const stop = feed.subscribe({ topic: 'queues' })
    last().receive(hello)
    stop()
    expect(last().sent.pop()).toEqual({ t: 'unsub', id: 2 })
    last().end()
    vi.advanceTimersByTime(500)
    feed.subscribe({ topic: 'streams' })
    expect(last().sent).toEqual([]) // a socket that still connects must not be written to
    last().receive(hello)
    expect(subscriptions().map((frame) => frame.topic)).toEqual(['stats', 'streams'])
  })

  it('notices another version of the server', () => {
    last().receive(hello)
    last().end()
    vi.advanceTimersByTime(500)
    last().receive({ ...hello, srv: '1.1.0' } as FromServer)
    expect(feed.getState().updated).toBe(true)
  })

  it('does nothing while it sleeps and subscribes anew when it wakes', () => {
    feed.subscribe({ topic: 'stats' })
    last().receive(hello)
    feed.sleep()
    vi.advanceTimersByTime(60_000)
    expect(sockets).toHaveLength(1)
    expect(feed.getState().phase).toBe('asleep')
    feed.start()
    last().receive(hello)
    expect(subscriptions()).toHaveLength(1)
  })

  it('hands a refused subscription to its subscriber', () => {
    const onProblem = vi.fn()
    feed.subscribe({ topic: 'stream', query: { name: 'gone' }, onProblem })
    last().receive(hello)
    last().receive({ t: 'err', id: 1, code: 'NOSTREAM', msg: "no such stream 'gone'" })
    expect(onProblem).toHaveBeenCalledWith('NOSTREAM', "no such stream 'gone'")
  })
})

describe('feed without sockets', () => {
  const nextSocket = async () => {
    const before = sockets.length
    while (sockets.length === before) await vi.advanceTimersByTimeAsync(100)
  }
  /** The socket that is being opened is refused. */
  const refuse = async () => {
    last().end()
    await vi.advanceTimersByTimeAsync(0)
  }

  it('polls once three sockets have failed while HTTP is answered, until a socket is greeted', async () => {
    const seen: unknown[] = []
    poll.mockResolvedValue({ total: 1 })
    feed.subscribe({ topic: 'queues', query: { n: 5 }, onSnapshot: (data) => seen.push(data) })
    feed.subscribe({ topic: 'tail:pubsub' })
    await refuse()
    await nextSocket()
    await refuse()
    await nextSocket()
    expect(poll).not.toHaveBeenCalled()
    await refuse()
    expect(poll.mock.calls).toEqual([['queues', { n: 5 }]])
    expect(feed.getState()).toMatchObject({ phase: 'live', polled: true })
    await vi.advanceTimersByTimeAsync(2000)
    expect(seen).toHaveLength(2)
    feed.subscribe({ topic: 'streams', onSnapshot: (data) => seen.push(data) })
    await vi.advanceTimersByTimeAsync(0)
    expect(seen).toHaveLength(3)

    await nextSocket()
    last().receive(hello)
    expect(feed.getState().polled).toBe(false)
    expect(subscriptions()).toHaveLength(3)
    poll.mockClear()
    await vi.advanceTimersByTimeAsync(10_000)
    expect(poll).not.toHaveBeenCalled()
  })

  it('does not poll a server that is gone, and stops when it goes', async () => {
    feed.subscribe({ topic: 'queues' })
    for (let failure = 0; failure < 2; failure++) {
      await refuse()
      await nextSocket()
    }
    await refuse()
    expect(poll).toHaveBeenCalledTimes(1)
    expect(feed.getState().polled).toBe(false)
    await nextSocket()
    poll.mockResolvedValueOnce({})
    await refuse()
    expect(feed.getState().polled).toBe(true)
    await vi.advanceTimersByTimeAsync(6000)
    expect(feed.getState()).toMatchObject({ phase: 'stale', polled: false })
  })

  it('hands on a refusal, and gives up a socket that hangs', async () => {
    const onProblem = vi.fn()
    poll.mockRejectedValue(new HttpProblem(404, 'NOQUEUE', "no such queue 'gone'"))
    feed.subscribe({ topic: 'queue', query: { name: 'gone' }, onProblem })
    await vi.advanceTimersByTimeAsync(5000)
    expect(last().closed).toBe(true)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(sockets.length).toBeGreaterThan(3)
    expect(onProblem).toHaveBeenCalledWith('NOQUEUE', "no such queue 'gone'")
  })
})
