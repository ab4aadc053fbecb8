/* What the pages work with. u64 numbers (ids and offsets) stay decimal strings: JavaScript's numbers would round them. */

/** Bytes as they travel: base64 of the whole or of the beginning, and the whole size. */
export interface WirePayload {
  b64: string
  size: number
}

export interface Session {
  login: boolean
  user: string
  readOnly: boolean
  version: string
  boot: string
  hidePayloads: boolean
  /** Where clients connect, for the commands that pages propose. */
  port: number
}

export type JobState = 'ready' | 'delayed' | 'inflight' | 'dead'
export type Pause = 'none' | 'in' | 'out' | 'all'

export interface Queue {
  name: string
  ready: number
  delayed: number
  inflight: number
  dead: number
  bytes: number
  waiters: number
  oldestMs: number
  paused: Pause
  pushRate: number
  popRate: number
  ackRate: number
  failRate: number
}

export interface QueueDetail extends Queue {
  config: [string, string][]
  priorities: [number, number][]
  /** Events since the start, by name. */
  counters: Record<string, number>
}

export interface Job {
  id: string
  state: JobState
  payload: WirePayload
  priority: number
  attempts: number
  maxAttempts: number
  deliveries: number
  pushedAt: number
  dueAt: number
  leaseUntil: number
  expiresAt: number
  failedAt: number
  reason: string
  dedup: string
}

export interface Stream {
  name: string
  entries: number
  first: string
  next: string
  bytes: number
  firstMs: number
  lastMs: number
  groups: number
  maxLag: number
  appendRate: number
  chain: boolean
}

export interface Group {
  name: string
  lag: number
  pending: number
  parked: number
  /** Consumers with an open connection, and how many of them wait for entries. */
  workers: number
  waiters: number
  /** Consumers that hold entries, even if they have gone. */
  holders: number
  floor: string
  next: string
  epoch: string
  ackWaitMs: number
  maxDeliver: number
  oldestPendingMs: number
}

export interface StreamDetail extends Omit<Stream, 'groups'> {
  config: [string, string][]
  groups: Group[]
}

export interface Entry {
  offset: string
  ms: number
  id: string
  payload: WirePayload
  /** The ordered fields of an entry made by XADD. */
  fields: [string, string][] | null
}

export interface ParkedEntry extends Entry {
  deliveries: number
  parkedMs: number
  reason: string
}

export interface Verification {
  ok: boolean
  from: string
  to: string
  head: string
  firstBad: string
}

export interface KeyRow {
  key: string
  type: string
  ttl: number
  size: number
}

export interface KeyFolder {
  name: string
  label: string
  count: number
}

export interface KeyTree {
  folders: KeyFolder[]
  keys: KeyRow[]
  more: boolean
  scanned: number
  total: number
}

export interface KeyDetail extends KeyRow {
  value: WirePayload | null
  items: [string, WirePayload][] | null
  count: number
}

export interface Topic {
  topic: string
  subscribers: number
  retained: boolean
}

/** A filter with + or #, or a glob pattern, that is subscribed to. */
export interface Wildcard {
  name: string
  pattern: boolean
  subscribers: number
}

export interface Subscriber {
  id: string
  name: string
  addr: string
  filter: string
}

export interface Retained {
  topic: string
  payload: WirePayload
  ttl: number
}

export interface Client {
  id: string
  name: string
  addr: string
  ageMs: number
  idleMs: number
  lib: string
  command: string
  db: number
  user: string
  subs: number
  inBytes: number
  outBytes: number
  protocol: number
}

export interface SlowCommand {
  id: string
  at: number
  micros: number
  args: string[]
  client: string
  name: string
}

/** A command of the live tail: long words are cut, passwords and hidden values replaced. */
export interface SeenCommand {
  at: number
  client: string
  /** The client's, empty when it has none. */
  name: string
  addr: string
  args: string[]
}

export interface Setting {
  name: string
  value: string
  /** Setting it acts. */
  mutable: boolean
  /** Why it cannot be set, or would do nothing; empty when it is decided at the start. */
  note: string
}

export interface Section {
  name: string
  rows: [string, string][]
}

export interface CommandHelp {
  name: string
  summary: string
  syntax: string
  group: string
  write: boolean
}

export type Reply =
  | { t: 'null'; v?: null }
  | { t: 'status' | 'error' | 'double'; v: string }
  | { t: 'int'; v: string }
  | { t: 'bool'; v: boolean }
  | { t: 'bulk'; v: { text?: string; b64?: string } }
  | { t: 'array'; v: Reply[] }
  | { t: 'map'; v: [Reply, Reply][] }

/** One second of the server; rates are per second, p50 and p99 are microseconds, 0 where nothing was measured. */
export interface Point {
  at: number
  store: { ops: number; hits: number; misses: number; keys: number; p50: number; p99: number }
  pubsub: { in: number; out: number; subs: number; retained: number }
  queue: {
    pushed: number
    popped: number
    acked: number
    failed: number
    ready: number
    inflight: number
    dead: number
    queues: number
  }
  stream: { appended: number; read: number; acked: number; streams: number; lag: number }
  clients: number
  memory: number
  disk: number
  ops: number
  fsyncP99: number
}

export interface Page<Row> {
  rows: Row[]
  next: string | null
  total?: number
  scanned?: number
}

export interface Task {
  id: string
  done: number
  total: number
  finished: boolean
  cancelled: boolean
  error: string
}
