import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Pencil } from 'lucide-react'
import { useState } from 'react'
import { fetchConfig, resetSlowLog, setConfig } from '../api/server'
import type { SlowCommand } from '../api/types'
import { ChangeButton } from '../components/change-button'
import { FormDialog } from '../components/dialog'
import { Empty, Panel } from '../components/panel'
import { TextField } from '../components/text-field'
import { tell } from '../components/toast'
import { type Column, VirtualTable } from '../components/virtual-table'
import { foldRows, type Rows, useTopic } from '../feed/react'
import { useNow } from '../feed/status'
import { counted } from '../format/number'
import { micros, moment, relative } from '../format/time'

const thresholdName = 'slowlog-log-slower-than'

/** The threshold is a setting of Redis in microseconds; people think in milliseconds. */
function Threshold({ now, onClose }: { now: number; onClose: () => void }) {
  const [value, setValue] = useState(now < 0 ? '' : String(now / 1000))
  const queries = useQueryClient()
  const number = Number(value)
  const wrong = value.trim() !== '' && !(number >= 0)
  const submit = async () => {
    await setConfig(thresholdName, value.trim() === '' ? '-1' : String(Math.round(number * 1000)))
    await queries.invalidateQueries({ queryKey: ['config'] })
    tell(value.trim() === '' ? 'The slow log is off' : `Commands slower than ${micros(number * 1000)} are kept`)
  }
  return (
    <FormDialog title="Threshold of the slow log" action="Set" disabled={wrong} onSubmit={submit} onClose={onClose}>
      <TextField
        label="Milliseconds"
        hint="0 keeps every command that is timed; empty turns the log off"
        value={value}
        onChange={setValue}
      />
      <p className="muted">It holds until the server restarts.</p>
    </FormDialog>
  )
}

export function SlowLogPage() {
  const now = useNow()
  const [clearing, setClearing] = useState(false)
  const [limiting, setLimiting] = useState(false)
  const { data: config } = useQuery({ queryKey: ['config'], queryFn: fetchConfig })
  const setting = config?.rows.find((row) => row.name === thresholdName)
  const threshold = setting ? Number(setting.value) : null
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
          {threshold === null
            ? 'Commands that took long; '
            : threshold < 0
              ? 'Off: no command is kept; '
              : `Commands slower than ${micros(threshold)}; `}
          waiting in a blocking command does not count.
        </p>
        <div className="actions">
          <ChangeButton disabled={threshold === null} onClick={() => setLimiting(true)}>
            <Pencil aria-hidden /> Threshold
          </ChangeButton>
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
                <Empty title="No command was slow">Lower the threshold to see more.</Empty>
              ) : (
                <Empty title="Loading" />
              )
            }
          />
        </Panel>
      </div>
      {limiting && threshold !== null && <Threshold now={threshold} onClose={() => setLimiting(false)} />}
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
