import { Plus, Settings2, ShieldCheck, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { Link } from 'wouter'
import { address, useAddress, useGo } from '../address'
import { appendEntry, configureStream, dropStream, verifyStream } from '../api/stream'
import type { StreamDetail, Verification } from '../api/types'
import { ChangeButton } from '../components/change-button'
import { ConfigDialog } from '../components/config-dialog'
import { Confirm, Dialog, FormDialog } from '../components/dialog'
import { Empty, Facts, Figures } from '../components/panel'
import { Tabs } from '../components/tabs'
import { TextField } from '../components/text-field'
import { tell } from '../components/toast'
import { foldFields, useTopic } from '../feed/react'
import { useNow } from '../feed/status'
import { bytes, compact, rate } from '../format/number'
import { relative } from '../format/time'
import { problemOf } from '../http/client'
import { StreamEntries } from './stream-entries'
import { StreamGroups } from './stream-groups'
import { StreamTail } from './stream-tail'

type Open = 'append' | 'config' | 'drop' | null

export function StreamPage() {
  const { get } = useAddress()
  const name = get('name') ?? ''
  const tab = get('tab') ?? 'entries'
  const now = useNow()
  const { data: stream, problem } = useTopic<StreamDetail>('stream', { name }, foldFields)
  if (problem) {
    return (
      <Empty title={problem}>
        It may have been dropped. <Link href="/streams">All streams</Link>
      </Empty>
    )
  }
  const lag = Math.max(0, ...(stream?.groups.map((group) => group.lag) ?? []))
  return (
    <>
      <StreamHead name={name} stream={stream} />
      <div className="page-body">
        <Figures
          small
          items={[
            { label: 'Entries', value: stream ? compact(stream.entries) : '–' },
            {
              label: 'Offsets',
              value: stream ? (stream.entries > 0 ? `${stream.first} to ${lastOffset(stream)}` : 'none') : '–',
            },
            { label: 'Appended', value: stream ? rate(stream.appendRate) : '–', unit: '/s' },
            { label: 'Size', value: stream ? bytes(stream.bytes) : '–' },
            { label: 'Last entry', value: stream && stream.lastMs > 0 ? relative(stream.lastMs, now) : '–' },
            { label: 'Largest lag', value: stream ? compact(lag) : '–', tone: lag >= 1000 ? 'warn' : undefined },
          ]}
        />
        <Tabs
          label="Views of the stream"
          tone="stream"
          current={tab}
          tabs={[
            { id: 'entries', title: 'Entries', href: address('/stream', { name }) },
            { id: 'tail', title: 'Live tail', href: address('/stream', { name, tab: 'tail' }) },
            {
              id: 'groups',
              title: 'Groups',
              href: address('/stream', { name, tab: 'groups' }),
              count: stream?.groups.length,
            },
          ]}
        />
        {tab === 'tail' ? (
          <StreamTail name={name} />
        ) : tab === 'groups' ? (
          <StreamGroups name={name} groups={stream?.groups ?? null} />
        ) : (
          <StreamEntries name={name} />
        )}
      </div>
    </>
  )
}

function lastOffset(stream: StreamDetail): string {
  return String(BigInt(stream.next) - 1n)
}

function StreamHead({ name, stream }: { name: string; stream: StreamDetail | null }) {
  const go = useGo()
  const [open, setOpen] = useState<Open>(null)
  const [verified, setVerified] = useState<Verification | null>(null)
  const close = () => setOpen(null)
  const verify = () => verifyStream(name).then(setVerified, (error) => tell(problemOf(error), 'bad'))
  return (
    <header className="page-head">
      <Link className="crumb" href="/streams">
        Streams
      </Link>
      <h1>{name}</h1>
      {stream?.chain && <span className="pill">chained</span>}
      <div className="actions">
        <ChangeButton className="primary" onClick={() => setOpen('append')}>
          <Plus aria-hidden /> Append
        </ChangeButton>
        {stream?.chain && (
          <button type="button" className="button" onClick={verify}>
            <ShieldCheck aria-hidden /> Verify
          </button>
        )}
        <button type="button" className="button" disabled={!stream} onClick={() => setOpen('config')}>
          <Settings2 aria-hidden /> Config
        </button>
        <ChangeButton className="danger icon" label="Drop the stream" onClick={() => setOpen('drop')}>
          <Trash2 aria-hidden />
        </ChangeButton>
      </div>
      {open === 'append' && <AppendDialog name={name} onClose={close} />}
      {open === 'config' && stream && (
        <ConfigDialog
          title={`Configuration of ${name}`}
          config={stream.config}
          onSave={(set) => configureStream(name, set)}
          onClose={close}
        />
      )}
      {open === 'drop' && (
        <Confirm
          title={`Drop ${name}`}
          action="Drop the stream"
          typed={name}
          onConfirm={async () => {
            await dropStream(name)
            tell(`Dropped ${name}`)
            go('/streams')
          }}
          onClose={close}
        >
          <p>All entries and groups are deleted. This cannot be undone.</p>
        </Confirm>
      )}
      {verified && <Verified result={verified} onClose={() => setVerified(null)} />}
    </header>
  )
}

function AppendDialog({ name, onClose }: { name: string; onClose: () => void }) {
  const [payload, setPayload] = useState('{\n  "order": 1\n}')
  const submit = async () => {
    const { offset } = await appendEntry(name, payload)
    tell(`Appended at offset ${offset}`)
  }
  return (
    <FormDialog title={`Append to ${name}`} action="Append" onSubmit={submit} onClose={onClose}>
      <TextField label="Payload" value={payload} onChange={setPayload} lines={8} />
    </FormDialog>
  )
}

function Verified({ result, onClose }: { result: Verification; onClose: () => void }) {
  return (
    <Dialog title={result.ok ? 'The chain holds' : 'The chain is broken'} onClose={onClose}>
      <div className="dialog-body">
        {!result.ok && <p className="problem">The first entry that does not fit is at offset {result.firstBad}.</p>}
        <Facts
          items={[
            ['From', result.from],
            ['To', result.to],
            ['Head', result.head ? <code key="head">{result.head}</code> : 'hidden by this server'],
          ]}
        />
        {result.head && (
          <p className="muted">
            Compare the head with one that you noted earlier: it changes when any entry before it does.
          </p>
        )}
      </div>
    </Dialog>
  )
}
