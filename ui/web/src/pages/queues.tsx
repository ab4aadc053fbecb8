import type { Queue } from '../api/types'
import { Empty } from '../components/panel'
import { bytes, compact, rate } from '../format/number'
import { span } from '../format/time'
import { NamedList, type NumberColumn } from './named-list'
import { CreateQueue } from './queue-dialogs'

const numbers: NumberColumn<Queue>[] = [
  ['ready', 'Ready', (row) => compact(row.ready)],
  // What tells of trouble stands where a phone shows it.
  ['dead', 'Dead', (row) => <span className={row.dead > 0 ? 'bad' : undefined}>{compact(row.dead)}</span>],
  ['oldestMs', 'Oldest', (row) => (row.oldestMs > 0 ? span(row.oldestMs) : '–')],
  ['inflight', 'In flight', (row) => compact(row.inflight)],
  ['delayed', 'Delayed', (row) => compact(row.delayed)],
  ['pushRate', 'Push/s', (row) => rate(row.pushRate)],
  ['ackRate', 'Ack/s', (row) => rate(row.ackRate)],
  ['bytes', 'Size', (row) => bytes(row.bytes)],
]

export function QueuesPage() {
  return (
    <NamedList<Queue>
      title="Queues"
      noun="queue"
      pill={(row) => row.paused !== 'none' && <span className="pill warn">paused</span>}
      numbers={numbers}
      minWidth={820}
      none={
        <Empty title="No queue yet" command="redis-cli -p 7654 QPUSH mail '{&quot;to&quot;:&quot;ada&quot;}'">
          A queue is made by its first push. Jobs are leased to workers, tried again when they fail, and end here as
          dead letters when they fail for good.
        </Empty>
      }
      Create={CreateQueue}
    />
  )
}
