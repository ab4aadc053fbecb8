import { Plus } from 'lucide-react'
import { useCallback, useState } from 'react'
import { address, useAddress, useGo } from '../address'
import { createStream } from '../api/stream'
import type { Stream } from '../api/types'
import { ChangeButton } from '../components/change-button'
import { FormDialog } from '../components/dialog'
import { Empty, Panel } from '../components/panel'
import { SearchField } from '../components/search-field'
import { TextField } from '../components/text-field'
import { tell } from '../components/toast'
import { type Column, VirtualTable } from '../components/virtual-table'
import { foldRows, type Rows, useTopic } from '../feed/react'
import { useNow } from '../feed/status'
import { useSorted, useWindowQuery } from '../feed/window'
import { bytes, compact, counted, rate } from '../format/number'
import { relative } from '../format/time'

export function StreamsPage() {
  const { get, set } = useAddress()
  const go = useGo()
  const now = useNow()
  const [creating, setCreating] = useState(false)
  const filter = get('filter') ?? ''
  const { sort, sortable } = useSorted('name')
  const { query, onWindow } = useWindowQuery({ sort, filter })
  const {
    data,
    query: shown,
    problem,
  } = useTopic<Rows<Stream>>(
    'streams',
    query,
    foldRows((row) => row.name),
  )
  const number = (id: string, title: string, cell: Column<Stream>['cell']): Column<Stream> => ({
    ...sortable(id, title, true),
    width: 'minmax(74px, 1fr)',
    end: true,
    cell,
  })
  const columns: Column<Stream>[] = [
    {
      ...sortable('name', 'Stream'),
      width: 'minmax(150px, 2fr)',
      cell: (row) => (
        <span className="row">
          <b className="clip">{row.name}</b>
          {row.chain && <span className="pill">chained</span>}
        </span>
      ),
    },
    number('entries', 'Entries', (row) => compact(row.entries)),
    number('appendRate', 'Append/s', (row) => rate(row.appendRate)),
    number('groups', 'Groups', (row) => row.groups),
    number('maxLag', 'Largest lag', (row) => (
      <span className={row.maxLag >= 1000 ? 'warn' : undefined}>{compact(row.maxLag)}</span>
    )),
    number('bytes', 'Size', (row) => bytes(row.bytes)),
    number('lastMs', 'Last entry', (row) => (row.lastMs > 0 ? relative(row.lastMs, now) : '–')),
  ]
  return (
    <>
      <header className="page-head">
        <h1>Streams</h1>
        <SearchField
          label="Find a stream"
          value={filter}
          onSearch={useCallback((text: string) => set({ filter: text }), [set])}
        />
        <div className="actions">
          <ChangeButton onClick={() => setCreating(true)}>
            <Plus aria-hidden /> New stream
          </ChangeButton>
        </div>
      </header>
      <div className="page-body">
        <Panel className="grow live" foot={data ? counted(data.total, 'stream') : 'Loading'}>
          {problem && <p className="problem">{problem}</p>}
          <VirtualTable
            label="Streams"
            columns={columns}
            minWidth={760}
            count={data?.total ?? 0}
            row={(index) => data?.rows[index - Number(shown?.from ?? 0)]}
            rowKey={(row) => row.name}
            onOpen={(row) => go(address('/stream', { name: row.name }))}
            onWindow={onWindow}
            empty={<NoStreams known={data !== null} filter={filter} />}
          />
        </Panel>
      </div>
      {creating && (
        <CreateStream onClose={() => setCreating(false)} onDone={(name) => go(address('/stream', { name }))} />
      )}
    </>
  )
}

function NoStreams({ known, filter }: { known: boolean; filter: string }) {
  if (!known) return <Empty title="Loading" />
  if (filter) return <Empty title={`No stream has "${filter}" in its name`} />
  return (
    <Empty title="No stream yet" command="redis-cli -p 7654 XAPPEND orders 'order 1 paid'">
      A stream is made by its first entry. Entries never change; groups remember how far they have read.
    </Empty>
  )
}

function CreateStream({ onClose, onDone }: { onClose: () => void; onDone: (name: string) => void }) {
  const [name, setName] = useState('')
  const [age, setAge] = useState('7d')
  const [size, setSize] = useState(String(1024 ** 3))
  const [chain, setChain] = useState(false)
  const submit = async () => {
    await createStream(name, ['MAXAGE', age, 'MAXBYTES', size, ...(chain ? ['INTEGRITY', 'CHAIN'] : [])])
    tell(`Made ${name}`)
    onDone(name)
  }
  return (
    <FormDialog title="New stream" action="Create" disabled={name === ''} onSubmit={submit} onClose={onClose}>
      <TextField label="Name" value={name} onChange={setName} />
      <div className="pair">
        <TextField label="Keep entries for" hint="0 keeps them" value={age} onChange={setAge} />
        <TextField
          label="Keep at most, bytes"
          hint="0 is no limit"
          value={size}
          onChange={setSize}
          type="number"
          min={0}
        />
      </div>
      <label className="check">
        <input type="checkbox" checked={chain} onChange={(event) => setChain(event.target.checked)} />
        Chain the entries with SHA-256, so that a change to any of them shows
      </label>
    </FormDialog>
  )
}
