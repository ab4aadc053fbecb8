import { useState } from 'react'
import { resetSlowLog } from '../api/server'
import type { SlowCommand } from '../api/types'
import { ChangeButton } from '../components/change-button'
import { FormDialog } from '../components/dialog'
import { Empty, Panel } from '../components/panel'
import { tell } from '../components/toast'
import { type Column, VirtualTable } from '../components/virtual-table'
import { foldRows, type Rows, useTopic } from '../feed/react'
import { useNow } from '../feed/status'
import { counted } from '../format/number'
import { micros, moment, relative } from '../format/time'

export function SlowLogPage() {
  const now = useNow()
  const [clearing, setClearing] = useState(false)
  const { data, problem } = useTopic<Rows<SlowCommand>>(
    'slowlog',
    null,
    foldRows((row) => row.id),
  )
  const columns: Column<SlowCommand>[] = [
    {
      id: 'at',
      title: 'When',
      width: '110px',
      cell: (row) => <time title={moment(row.at)}>{relative(row.at, now)}</time>,
    },
    { id: 'took', title: 'Took', width: '80px', end: true, cell: (row) => <b>{micros(row.micros)}</b> },
    { id: 'command', title: 'Command', width: 'minmax(180px, 1fr)', cell: (row) => <code>{row.args.join(' ')}</code> },
    { id: 'client', title: 'Client', width: 'minmax(110px, 200px)', cell: (row) => row.name || row.client },
  ]
  return (
    <>
      <header className="page-head">
        <h1>Slow log</h1>
        <p className="muted">
          Commands slower than <code>slowlog-log-slower-than</code>; waiting in a blocking command does not count.
        </p>
        <div className="actions">
          <ChangeButton disabled={!data || data.total === 0} onClick={() => setClearing(true)}>
            Clear
          </ChangeButton>
        </div>
      </header>
      <div className="page-body">
        <Panel className="grow live" foot={data ? counted(data.total, 'command') : 'Loading'}>
          <VirtualTable
            label="Slow commands"
            columns={columns}
            minWidth={560}
            count={data?.total ?? 0}
            row={(index) => data?.rows[index]}
            rowKey={(row) => row.id}
            problem={problem}
            empty={
              data ? (
                <Empty title="No command was slow" command="redis-cli -p 7654 CONFIG SET slowlog-log-slower-than 1000">
                  Lower the threshold (microseconds) to see more.
                </Empty>
              ) : (
                <Empty title="Loading" />
              )
            }
          />
        </Panel>
      </div>
      {clearing && (
        <FormDialog
          title="Clear the slow log"
          action="Clear"
          danger
          onSubmit={async () => {
            await resetSlowLog()
            tell('Cleared the slow log')
          }}
          onClose={() => setClearing(false)}
        >
          <p>The list begins anew; nothing else changes.</p>
        </FormDialog>
      )}
    </>
  )
}
