import { useState } from 'react'
import { createStream } from '../api/stream'
import type { Stream } from '../api/types'
import { FormDialog } from '../components/dialog'
import { Empty } from '../components/panel'
import { TextField } from '../components/text-field'
import { tell } from '../components/toast'
import { useNow } from '../feed/status'
import { bytes, compact, rate } from '../format/number'
import { relative } from '../format/time'
import { NamedList, type NumberColumn } from './named-list'

export function StreamsPage() {
  const now = useNow()
  const numbers: NumberColumn<Stream>[] = [
    // What tells of trouble stands where a phone shows it.
    [
      'maxLag',
      'Largest lag',
      (row) => <span className={row.maxLag >= 1000 ? 'warn' : undefined}>{compact(row.maxLag)}</span>,
    ],
    ['entries', 'Entries', (row) => compact(row.entries)],
    ['appendRate', 'Append/s', (row) => rate(row.appendRate)],
    ['groups', 'Groups', (row) => row.groups],
    ['bytes', 'Size', (row) => bytes(row.bytes)],
    ['lastMs', 'Last entry', (row) => (row.lastMs > 0 ? relative(row.lastMs, now) : '–')],
  ]
  return (
    <NamedList<Stream>
      title="Streams"
      noun="stream"
      pill={(row) => row.chain && <span className="pill">chained</span>}
      numbers={numbers}
      minWidth={760}
      none={
        <Empty title="No stream yet" command="redis-cli -p 7654 XAPPEND orders 'order 1 paid'">
          A stream is made by its first entry. Entries never change; groups remember how far they have read.
        </Empty>
      }
      Create={CreateStream}
    />
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
