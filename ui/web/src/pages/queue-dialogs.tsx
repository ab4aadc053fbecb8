import { useState } from 'react'
import { configureQueue, createQueue, dropQueue, pauseQueue, purgeQueue, pushJob } from '../api/queue'
import type { JobState, Queue, QueueDetail } from '../api/types'
import { ConfigDialog } from '../components/config-dialog'
import { Confirm, FormDialog } from '../components/dialog'
import { TextField } from '../components/text-field'
import { tell } from '../components/toast'
import { counted, exact } from '../format/number'
import { parseSpan } from '../format/time'

interface Props {
  name: string
  onClose: () => void
}

export function PushJobDialog({ name, onClose }: Props) {
  const [payload, setPayload] = useState('{\n  "to": "ada"\n}')
  const [priority, setPriority] = useState('0')
  const [delay, setDelay] = useState('')
  const [dedup, setDedup] = useState('')
  const submit = async () => {
    const milliseconds = delay.trim() === '' ? 0 : parseSpan(delay)
    if (milliseconds === null) throw new Error(`"${delay}" is no delay: write 30s, 5m or 2h`)
    const { id } = await pushJob({ name, payload, priority: Number(priority), delay: milliseconds, dedup })
    tell(`Pushed job ${id}`)
  }
  return (
    <FormDialog title={`Push a job to ${name}`} action="Push" onSubmit={submit} onClose={onClose}>
      <TextField label="Payload" value={payload} onChange={setPayload} lines={7} />
      <div className="pair">
        <TextField
          label="Priority, 0 to 255, high first"
          value={priority}
          onChange={setPriority}
          type="number"
          min={0}
          max={255}
        />
        <TextField label="Delay" value={delay} onChange={setDelay} placeholder="none, or 30s, 5m, 2h" />
      </div>
      <TextField label="Dedup key" value={dedup} onChange={setDedup} placeholder="none" />
    </FormDialog>
  )
}

export function CreateQueue({ onClose, onDone }: { onClose: () => void; onDone: (name: string) => void }) {
  const [name, setName] = useState('')
  const [lease, setLease] = useState('30s')
  const [attempts, setAttempts] = useState('5')
  const [sync, setSync] = useState('')
  const submit = async () => {
    await createQueue(name, ['LEASE', lease, 'MAXATTEMPTS', attempts, ...(sync ? ['SYNC', sync] : [])])
    tell(`Made ${name}`)
    onDone(name)
  }
  return (
    <FormDialog title="New queue" action="Create" disabled={name === ''} onSubmit={submit} onClose={onClose}>
      <TextField label="Name" value={name} onChange={setName} />
      <div className="pair">
        <TextField
          label="Lease"
          hint="A job comes back after this, unless it is acked"
          value={lease}
          onChange={setLease}
        />
        <TextField
          label="Attempts"
          hint="After these it is a dead letter"
          value={attempts}
          onChange={setAttempts}
          type="number"
          min={1}
        />
      </div>
      <label className="field">
        <span>A push is answered</span>
        <select className="input" value={sync} onChange={(event) => setSync(event.target.value)}>
          <option value="">as the server is set (--fsync)</option>
          <option value="ALWAYS">when it is on disk</option>
          <option value="INTERVAL">when it is written, fsync soon after</option>
          <option value="NEVER">when it is in memory</option>
        </select>
      </label>
    </FormDialog>
  )
}

export function PauseQueue({ name, onClose }: Props) {
  const [side, setSide] = useState<'in' | 'out' | 'all'>('out')
  const choices: ['in' | 'out' | 'all', string][] = [
    ['out', 'Workers get no jobs; pushes go on'],
    ['in', 'Pushes are refused; workers go on'],
    ['all', 'Both'],
  ]
  const submit = async () => {
    await pauseQueue(name, side)
    tell(`Paused ${name}`)
  }
  return (
    <FormDialog title={`Pause ${name}`} action="Pause" onSubmit={submit} onClose={onClose}>
      {choices.map(([value, words]) => (
        <label className="check" key={value}>
          <input type="radio" name="side" checked={side === value} onChange={() => setSide(value)} />
          {words}
        </label>
      ))}
    </FormDialog>
  )
}

const purgeable: [JobState, string][] = [
  ['ready', 'Ready'],
  ['delayed', 'Delayed'],
  ['inflight', 'In flight'],
  ['dead', 'Dead'],
]

export function PurgeQueue({ name, queue, onClose }: Props & { queue: Queue | null }) {
  const [states, setStates] = useState<JobState[]>([])
  const toggle = (state: JobState) =>
    setStates((before) => (before.includes(state) ? before.filter((each) => each !== state) : [...before, state]))
  const submit = async () => {
    if (states.length === 0) throw new Error('Choose what to delete')
    const { count } = await purgeQueue(name, states)
    tell(`Deleted ${counted(count, 'job')}`)
  }
  return (
    <Confirm title={`Purge ${name}`} action="Delete the jobs" typed={name} onConfirm={submit} onClose={onClose}>
      <fieldset className="field">
        <legend>Jobs to delete</legend>
        {purgeable.map(([state, words]) => (
          <label className="check" key={state}>
            <input type="checkbox" checked={states.includes(state)} onChange={() => toggle(state)} />
            {words} {queue && <span className="muted number">{exact(queue[state])}</span>}
          </label>
        ))}
      </fieldset>
    </Confirm>
  )
}

export function DropQueue({ name, onClose, onDone }: Props & { onDone: () => void }) {
  const submit = async () => {
    await dropQueue(name)
    tell(`Dropped ${name}`)
    onDone()
  }
  return (
    <Confirm title={`Drop ${name}`} action="Drop the queue" typed={name} onConfirm={submit} onClose={onClose}>
      <p>The queue, its jobs in every state and its configuration are deleted. This cannot be undone.</p>
    </Confirm>
  )
}

export function QueueConfig({ queue, onClose }: { queue: QueueDetail; onClose: () => void }) {
  return (
    <ConfigDialog
      title={`Configuration of ${queue.name}`}
      config={queue.config}
      onSave={(set) => configureQueue(queue.name, set)}
      onClose={onClose}
    />
  )
}
