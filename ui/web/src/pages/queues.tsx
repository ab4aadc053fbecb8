import { Plus } from 'lucide-react'
import { useCallback, useState } from 'react'
import { address, useAddress, useGo } from '../address'
import type { Queue } from '../api/types'
import { ChangeButton } from '../components/change-button'
import { Empty, Panel } from '../components/panel'
import { SearchField } from '../components/search-field'
import { type Column, VirtualTable } from '../components/virtual-table'
import { foldRows, type Rows, useTopic } from '../feed/react'
import { useSorted, useWindowQuery } from '../feed/window'
import { bytes, compact, counted, rate } from '../format/number'
import { span } from '../format/time'
import { CreateQueue } from './queue-dialogs'

export function QueuesPage() {
  const { get, set } = useAddress()
  const go = useGo()
  const [creating, setCreating] = useState(false)
  const filter = get('filter') ?? ''
  const { sort, sortable } = useSorted('name')
  const { query, onWindow } = useWindowQuery({ sort, filter })
  const {
    data,
    query: shown,
    problem,
  } = useTopic<Rows<Queue>>(
    'queues',
    query,
    foldRows((row) => row.name),
  )
  const columns: Column<Queue>[] = [
    {
      ...sortable('name', 'Queue'),
      width: 'minmax(150px, 2fr)',
      cell: (row) => (
        <span className="row">
          <b className="clip">{row.name}</b>
          {row.paused !== 'none' && <span className="pill warn">paused</span>}
        </span>
      ),
    },
    number('ready', 'Ready', (row) => compact(row.ready)),
    number('delayed', 'Delayed', (row) => compact(row.delayed)),
    number('inflight', 'In flight', (row) => compact(row.inflight)),
    number('dead', 'Dead', (row) => <span className={row.dead > 0 ? 'bad' : undefined}>{compact(row.dead)}</span>),
    number('oldest', 'Oldest', (row) => (row.oldestMs > 0 ? span(row.oldestMs) : '–')),
    number('pushRate', 'Push/s', (row) => rate(row.pushRate)),
    number('ackRate', 'Ack/s', (row) => rate(row.ackRate)),
    number('bytes', 'Size', (row) => bytes(row.bytes)),
  ]
  function number(id: string, title: string, cell: Column<Queue>['cell']): Column<Queue> {
    return { ...sortable(id, title, true), width: 'minmax(68px, 1fr)', end: true, cell }
  }
  return (
    <>
      <header className="page-head">
        <h1>Queues</h1>
        <SearchField
          label="Find a queue"
          value={filter}
          onSearch={useCallback((text: string) => set({ filter: text }), [set])}
        />
        <div className="actions">
          <ChangeButton onClick={() => setCreating(true)}>
            <Plus aria-hidden /> New queue
          </ChangeButton>
        </div>
      </header>
      <div className="page-body">
        <Panel className="grow live" foot={data ? counted(data.total, 'queue') : 'Loading'}>
          {problem && <p className="problem">{problem}</p>}
          <VirtualTable
            label="Queues"
            columns={columns}
            minWidth={820}
            count={data?.total ?? 0}
            row={(index) => data?.rows[index - Number(shown?.from ?? 0)]}
            rowKey={(row) => row.name}
            onOpen={(row) => go(address('/queue', { name: row.name }))}
            onWindow={onWindow}
            empty={<NoQueues known={data !== null} filter={filter} />}
          />
        </Panel>
      </div>
      {creating && (
        <CreateQueue onClose={() => setCreating(false)} onDone={(name) => go(address('/queue', { name }))} />
      )}
    </>
  )
}

function NoQueues({ known, filter }: { known: boolean; filter: string }) {
  if (!known) return <Empty title="Loading" />
  if (filter) return <Empty title={`No queue has "${filter}" in its name`} />
  return (
    <Empty title="No queue yet" command="redis-cli -p 7654 QPUSH mail '{&quot;to&quot;:&quot;ada&quot;}'">
      A queue is made by its first push. Jobs are leased to workers, tried again when they fail, and end here as dead
      letters when they fail for good.
    </Empty>
  )
}
