/* The frames of the feed as ui/API.md describes them. The golden frames in ui/testdata/frames hold both sides to it. */

export interface Hello {
  t: 'hello'
  v: number
  boot: string
  srv: string
  ro: boolean
  now: number
}

export type FromServer =
  | Hello
  | { t: 'ping' }
  | { t: 'snap'; id: number; rev: number; data: unknown }
  | {
      t: 'delta'
      id: number
      rev: number
      prev: number
      up?: unknown[]
      del?: string[]
      data?: Record<string, unknown>
    }
  | { t: 'ev'; id: number; items: unknown[]; dropped: number; rate: number }
  | { t: 'err'; id?: number; code: string; msg: string }

export type ToServer =
  | { t: 'sub'; id: number; topic: string; q?: Record<string, unknown> }
  | { t: 'unsub'; id: number }
  | { t: 'ping' }
