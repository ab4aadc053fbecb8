import { CornerUpLeft, Plus, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { useAddress } from '../address'
import { createGroup, dropGroup, seekGroup } from '../api/stream'
import type { Group } from '../api/types'
import { ChangeButton } from '../components/change-button'
import { Confirm, FormDialog } from '../components/dialog'
import { Empty, Figures, Panel } from '../components/panel'
import { TextField } from '../components/text-field'
import { tell } from '../components/toast'
import { compact, exact } from '../format/number'
import { span } from '../format/time'
import { ParkedEntries } from './parked-entries'
import { readPosition } from './stream-entries'

type Open = { what: 'create' } | { what: 'seek' | 'drop'; group: string } | null

export function StreamGroups({ name, groups }: { name: string; groups: Group[] | null }) {
  const { get, set } = useAddress()
  const [open, setOpen] = useState<Open>(null)
  const close = () => setOpen(null)
  const parkedOf = get('parked')
  return (
    <>
      <div className="groups live">
        {groups?.map((group) => (
          <Panel
            key={group.name}
            label={`Group ${group.name}`}
            title={<h2 className="grow">{group.name}</h2>}
            actions={
              <>
                <ChangeButton className="small" onClick={() => setOpen({ what: 'seek', group: group.name })}>
                  <CornerUpLeft aria-hidden /> Seek
                </ChangeButton>
                <ChangeButton
                  className="small danger icon"
                  label={`Drop group ${group.name}`}
                  onClick={() => setOpen({ what: 'drop', group: group.name })}
                >
                  <Trash2 aria-hidden />
                </ChangeButton>
              </>
            }
            foot={
              <>
                <span className="number grow">
                  next {group.next}, done up to {group.floor}, epoch {group.epoch}
                </span>
                {group.parked > 0 && (
                  <button
                    type="button"
                    className="button small"
                    aria-expanded={parkedOf === group.name}
                    onClick={() => set({ parked: parkedOf === group.name ? null : group.name })}
                  >
                    {exact(group.parked)} parked
                  </button>
                )}
              </>
            }
          >
            <div className="panel-body">
              <Figures
                small
                items={[
                  { label: 'Lag', value: compact(group.lag), tone: group.lag >= 1000 ? 'warn' : undefined },
                  {
                    label: 'Workers',
                    value: compact(group.workers),
                    ...(group.waiters > 0 ? { unit: `${compact(group.waiters)} waiting` } : {}),
                    tone: group.workers === 0 && group.lag + group.pending > 0 ? 'warn' : undefined,
                  },
                  {
                    label: 'Pending',
                    value: compact(group.pending),
                    ...(group.holders > 0 ? { unit: `held by ${compact(group.holders)}` } : {}),
                  },
                  { label: 'Parked', value: compact(group.parked), tone: group.parked > 0 ? 'bad' : undefined },
                  { label: 'Ack wait', value: group.ackWaitMs > 0 ? span(group.ackWaitMs) : 'none' },
                  { label: 'Deliveries', value: group.maxDeliver > 0 ? `at most ${group.maxDeliver}` : 'no limit' },
                ]}
              />
            </div>
          </Panel>
        ))}
      </div>
      {groups?.length === 0 && (
        <Empty title="No group reads this stream" command={`redis-cli -p 7654 XCONSUME ${name} billing worker-1 MK`}>
          A group remembers what its consumers have acknowledged, and delivers again what they have not.
        </Empty>
      )}
      <div className="row">
        <ChangeButton onClick={() => setOpen({ what: 'create' })}>
          <Plus aria-hidden /> New group
        </ChangeButton>
      </div>
      {parkedOf !== null && <ParkedEntries key={parkedOf} stream={name} group={parkedOf} />}
      {open?.what === 'create' && <CreateGroup stream={name} onClose={close} />}
      {open?.what === 'seek' && <SeekGroup stream={name} group={open.group} onClose={close} />}
      {open?.what === 'drop' && (
        <Confirm
          title={`Drop group ${open.group}`}
          action="Drop the group"
          typed={open.group}
          onConfirm={async () => {
            await dropGroup(name, open.group)
            tell(`Dropped group ${open.group}`)
          }}
          onClose={close}
        >
          <p>Its position, its pending and its parked entries are forgotten. The entries of the stream stay.</p>
        </Confirm>
      )}
    </>
  )
}

function CreateGroup({ stream, onClose }: { stream: string; onClose: () => void }) {
  const [name, setName] = useState('')
  const [start, setStart] = useState('first')
  const submit = async () => {
    await createGroup(stream, name, start)
    tell(`Made group ${name}`)
  }
  return (
    <FormDialog title="New group" action="Create" disabled={name === ''} onSubmit={submit} onClose={onClose}>
      <TextField label="Name" value={name} onChange={setName} />
      <label className="field">
        <span>Begins with</span>
        <select className="input" value={start} onChange={(event) => setStart(event.target.value)}>
          <option value="first">the oldest entry</option>
          <option value="next">what comes next</option>
        </select>
      </label>
    </FormDialog>
  )
}

function SeekGroup({ stream, group, onClose }: { stream: string; group: string; onClose: () => void }) {
  const [to, setTo] = useState('first')
  const submit = async () => {
    const position = to.trim() === 'next' ? 'next' : readPosition(to)
    if (position === null) throw new Error(`"${to}" is neither first, next, an offset nor a time`)
    const { next } = await seekGroup(stream, group, position)
    tell(`${group} goes on at offset ${next}`)
  }
  return (
    <FormDialog title={`Seek ${group}`} action="Seek" onSubmit={submit} onClose={onClose}>
      <TextField
        label="Go on at"
        hint="first, next, an offset, or a time as 2026-01-31 14:30"
        value={to}
        onChange={setTo}
      />
      <p className="muted">Acks that were given before count no more: the group begins a new epoch.</p>
    </FormDialog>
  )
}
