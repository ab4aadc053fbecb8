/*
 * The live feed: one WebSocket with many topics. The server sends each subscription a snapshot and then the rows that
 * changed, numbered; a gap in the numbers, or another boot of the server, asks for a new snapshot instead of guessing.
 * Tails are events and are handed on as they come.
 *
 * The feed is fresh while data arrives (pings prove a living socket, not living data). After `staleAfter` without data
 * it is stale, and stays so until the next snapshot or delta.
 *
 * Some proxies let no WebSocket through. When sockets fail again and again while HTTP is answered, the snapshots are
 * polled, and the state says so; the first socket that is greeted ends that.
 */
import { HttpProblem } from '../http/client'
import type { FromServer, Hello, ToServer } from './wire'

export interface Subscriber {
  topic: string
  query?: Record<string, unknown>
  onSnapshot?: (data: unknown) => void
  onDelta?: (delta: { up: unknown[]; del: string[]; data: Record<string, unknown> }) => void
  onEvents?: (items: unknown[], dropped: number, rate: number) => void
  onProblem?: (code: string, text: string) => void
}

export interface FeedState {
  phase: 'connecting' | 'live' | 'stale' | 'asleep'
  /** When data last arrived, in local milliseconds; null before the first. */
  freshAt: number | null
  hello: Hello | null
  /** No socket comes through, so snapshots are asked for; tails have none. */
  polled: boolean
  /** The server was replaced by another version while this page was open. */
  updated: boolean
}

/** Asks for the snapshot of a topic over HTTP; a refusal is an HttpProblem. */
export type Poll = (topic: string, query?: Record<string, unknown>) => Promise<unknown>

/** The part of WebSocket that the feed uses; tests give their own. */
export interface Socket {
  send(text: string): void
  close(): void
  onopen: ((event: never) => void) | null
  onmessage: ((event: never) => void) | null
  onclose: ((event: never) => void) | null
}

interface Subscription extends Subscriber {
  id: number
  revision: number
}

const staleAfter = 3000
const firstDelay = 500
const longestDelay = 10_000
const pingEvery = 15_000
/** A socket that is not greeted by then hangs in a proxy. */
const greetedWithin = 5000
const failuresBeforePolling = 3
const pollEvery = 2000

export class Feed {
  private socket: Socket | null = null
  private readonly subscriptions = new Map<number, Subscription>()
  /** The server has spoken on this socket; before that nothing may be sent. */
  private greeted = false
  private lastId = 0
  private delay = firstDelay
  private retry: ReturnType<typeof setTimeout> | undefined
  private watch: ReturnType<typeof setInterval> | undefined
  private pingAt = 0
  private openedAt = 0
  /** Sockets in a row that ended without a greeting. */
  private failures = 0
  private nextPoll: ReturnType<typeof setTimeout> | undefined
  private readonly listeners = new Set<() => void>()
  private state: FeedState = { phase: 'connecting', freshAt: null, hello: null, polled: false, updated: false }

  constructor(
    private readonly open: () => Socket,
    private readonly poll: Poll,
    private readonly now: () => number = Date.now,
    private readonly random: () => number = Math.random,
  ) {}

  start() {
    this.watch ??= setInterval(() => this.check(), 500)
    this.set({ phase: 'connecting' })
    this.connect()
  }

  /** Stops everything; subscriptions are kept for the next start. Used while the page is hidden. */
  sleep() {
    clearInterval(this.watch)
    clearTimeout(this.retry)
    this.watch = undefined
    this.retry = undefined
    this.stopPolling()
    this.drop()
    this.set({ phase: 'asleep' })
  }

  subscribe(subscriber: Subscriber): () => void {
    const subscription: Subscription = { ...subscriber, id: ++this.lastId, revision: -1 }
    this.subscriptions.set(subscription.id, subscription)
    if (this.greeted) this.sendSubscribe(subscription)
    else if (this.state.polled) void this.pollOne(subscription).catch(() => {})
    return () => {
      this.subscriptions.delete(subscription.id)
      if (this.greeted) this.send({ t: 'unsub', id: subscription.id })
    }
  }

  getState = (): FeedState => this.state

  listen = (listener: () => void): (() => void) => {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  private connect() {
    this.retry = undefined
    const socket = this.open()
    this.socket = socket
    this.openedAt = this.now()
    socket.onmessage = (event: { data: unknown }) => {
      if (socket === this.socket) this.receive(JSON.parse(String(event.data)) as FromServer)
    }
    socket.onclose = () => {
      if (socket === this.socket) this.reconnect()
    }
  }

  private reconnect() {
    this.failures = this.greeted ? 0 : this.failures + 1
    this.drop()
    if (this.failures >= failuresBeforePolling && !this.state.polled) void this.pollAll()
    // Jitter keeps a hundred pages from coming back at the same moment.
    this.retry = setTimeout(() => this.connect(), this.delay * (0.5 + this.random()))
    this.delay = Math.min(this.delay * 2, longestDelay)
  }

  /** Asks for every snapshot, and again later. A failure ends it: the server is gone, and its next socket tells. */
  private async pollAll() {
    try {
      await Promise.all([...this.subscriptions.values()].map((subscription) => this.pollOne(subscription)))
    } catch {
      return this.stopPolling()
    }
    if (this.greeted || !this.watch) return
    this.set({ polled: true })
    clearTimeout(this.nextPoll)
    this.nextPoll = setTimeout(() => this.pollAll(), pollEvery)
  }

  private async pollOne(subscription: Subscription) {
    const { id, topic, query } = subscription
    if (topic.startsWith('tail:')) return
    try {
      const data = await this.poll(topic, query)
      if (this.greeted || !this.subscriptions.has(id)) return
      subscription.onSnapshot?.(data)
      this.freshen()
    } catch (error) {
      if (!(error instanceof HttpProblem)) throw error
      subscription.onProblem?.(error.code, error.message)
    }
  }

  private stopPolling() {
    clearTimeout(this.nextPoll)
    this.set({ polled: false })
  }

  private drop() {
    const socket = this.socket
    this.socket = null
    this.greeted = false
    if (!socket) return
    socket.onmessage = null
    socket.onclose = null
    socket.close()
  }

  private receive(frame: FromServer) {
    switch (frame.t) {
      case 'hello':
        return this.greet(frame)
      case 'ping':
        return
      case 'snap': {
        const subscription = this.subscriptions.get(frame.id)
        if (!subscription) return
        subscription.revision = frame.rev
        subscription.onSnapshot?.(frame.data)
        return this.freshen()
      }
      case 'delta': {
        const subscription = this.subscriptions.get(frame.id)
        if (!subscription) return
        if (subscription.revision !== frame.prev) return this.sendSubscribe(subscription)
        subscription.revision = frame.rev
        subscription.onDelta?.({ up: frame.up ?? [], del: frame.del ?? [], data: frame.data ?? {} })
        return this.freshen()
      }
      case 'ev':
        this.subscriptions.get(frame.id)?.onEvents?.(frame.items, frame.dropped, frame.rate)
        return this.freshen()
      case 'err':
        this.subscriptions.get(frame.id ?? 0)?.onProblem?.(frame.code, frame.msg)
    }
  }

  private greet(hello: Hello) {
    const before = this.state.hello
    this.greeted = true
    this.failures = 0
    this.delay = firstDelay
    this.stopPolling()
    this.set({ hello, updated: this.state.updated || (before !== null && before.srv !== hello.srv) })
    for (const subscription of this.subscriptions.values()) this.sendSubscribe(subscription)
  }

  private sendSubscribe(subscription: Subscription) {
    subscription.revision = -1
    const { id, topic, query } = subscription
    this.send(query ? { t: 'sub', id, topic, q: query } : { t: 'sub', id, topic })
  }

  private send(frame: ToServer) {
    this.socket?.send(JSON.stringify(frame))
  }

  private freshen() {
    this.set({ phase: 'live', freshAt: this.now() })
  }

  private check() {
    const now = this.now()
    const { phase, freshAt, polled } = this.state
    const old = polled ? staleAfter + pollEvery : staleAfter
    if (phase === 'live' && freshAt !== null && now - freshAt >= old) this.set({ phase: 'stale' })
    if (phase === 'connecting' && freshAt === null && this.retry) this.set({ phase: 'stale' })
    if (this.socket && !this.greeted && now - this.openedAt >= greetedWithin) this.reconnect()
    if (this.greeted && now - this.pingAt >= pingEvery) {
      this.pingAt = now
      this.send({ t: 'ping' })
    }
  }

  private set(change: Partial<FeedState>) {
    this.state = { ...this.state, ...change }
    for (const listener of this.listeners) listener()
  }
}
