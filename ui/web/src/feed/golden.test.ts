/* The examples of frames that the server's tests write: what the pages make of them. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Point, Queue, QueueDetail, Reply } from '../api/types'
import { formatReply } from '../console/reply'
import { fromBase64, readPayload } from '../format/payload'
import { foldFields, foldRows, type Rows } from './react'
import type { FromServer } from './wire'

function golden<Frame = FromServer>(name: string): Frame {
  return JSON.parse(readFileSync(`../testdata/frames/${name}.json`, 'utf8')) as Frame
}

function snapshot<Data>(name: string): Data {
  const frame = golden(name)
  if (frame.t !== 'snap') throw new Error(`${name} is no snapshot`)
  return frame.data as Data
}

function delta(name: string) {
  const frame = golden(name)
  if (frame.t !== 'delta') throw new Error(`${name} is no delta`)
  return { up: frame.up ?? [], del: frame.del ?? [], data: frame.data ?? {} }
}

describe('golden frames', () => {
  it('fold a window of queues: changed, new and removed rows in the new order', () => {
    const before = snapshot<Rows<Queue>>('queues.snap')
    const after = foldRows<Queue>((row) => row.name)(before, delta('queues.delta'))
    expect(after.total).toBe(2)
    expect(after.rows.map((row) => [row.name, row.ready, row.pushRate])).toEqual([
      ['mails', 7, 4],
      ['thumbnails', 6, 6],
    ])
  })
  it('fold the changed fields of one queue', () => {
    const before = snapshot<QueueDetail>('queue.snap')
    const after = foldFields(before, delta('queue.delta'))
    expect([after.ready, after.pushRate, after.counters.pushed]).toEqual([7, 4, 14])
    expect(after.config).toEqual(before.config)
  })
  it('append seconds', () => {
    const { points } = snapshot<{ points: Point[] }>('stats.snap')
    const [second] = delta('stats.delta').up as Point[]
    expect(second && second.at - (points[0]?.at ?? 0)).toBe(1000)
    expect([second?.store.p99, second?.queue.pushed, second?.stream.lag]).toEqual([4, 10, 0])
  })
  it('carry tails, greetings and refusals', () => {
    const tail = golden('pubsub.ev')
    if (tail.t !== 'ev') throw new Error('no tail')
    const payloads = (tail.items as { payload: { b64: string } }[]).map(
      (item) => readPayload(fromBase64(item.payload.b64)).text,
    )
    expect(payloads).toEqual(['21.5', null])
    expect(golden('hello')).toMatchObject({ t: 'hello', v: 1, ro: false })
    expect(golden('err')).toMatchObject({ t: 'err', code: 'NOQUEUE', msg: "no such queue 'nothing'" })
  })
  it('print replies of every kind', () => {
    const { reply } = golden<{ reply: Reply }>('reply')
    expect(formatReply(reply).split('\n')).toEqual([
      ' 1) OK',
      ' 2) (error) ERR no',
      ' 3) (integer) 9007199254740993',
      ' 4) "text"',
      ' 5) "\\xff"',
      ' 6) (nil)',
      ' 7) (double) 1.5',
      ' 8) (false)',
      ' 9) 1# "a" => (integer) 1',
      '10) (empty array)',
    ])
  })
})
