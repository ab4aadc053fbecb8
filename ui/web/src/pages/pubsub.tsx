import { Send } from 'lucide-react'
import { useState } from 'react'
import { address, useAddress } from '../address'
import { publish } from '../api/pubsub'
import { ChangeButton } from '../components/change-button'
import { FormDialog } from '../components/dialog'
import { Tabs } from '../components/tabs'
import { TextField } from '../components/text-field'
import { tell } from '../components/toast'
import { usePoints } from '../feed/stats'
import { compact, counted, rate } from '../format/number'
import { parseSpan } from '../format/time'
import { PubSubTail } from './pubsub-tail'
import { RetainedMessages } from './retained'
import { Topics } from './topics'
import { Wildcards } from './wildcards'

export function PubSubPage() {
  const { get } = useAddress()
  const tab = get('tab') ?? 'tail'
  const [publishing, setPublishing] = useState(false)
  const points = usePoints()
  const now = points[points.length - 1]?.pubsub
  return (
    <>
      <header className="page-head">
        <h1>Pub/Sub</h1>
        {now && (
          <p className="muted number live">
            {rate(now.in)} published/s, {rate(now.out)} delivered/s, {counted(now.subs, 'subscription')},{' '}
            {compact(now.retained)} retained
          </p>
        )}
        <div className="actions">
          <ChangeButton className="primary" onClick={() => setPublishing(true)}>
            <Send aria-hidden /> Publish
          </ChangeButton>
        </div>
      </header>
      <div className="page-body">
        <Tabs
          label="Views of pub/sub"
          tone="pubsub"
          current={tab}
          tabs={[
            { id: 'tail', title: 'Live tail', href: '/pubsub' },
            { id: 'topics', title: 'Topics', href: address('/pubsub', { tab: 'topics' }) },
            { id: 'wildcards', title: 'Wildcards', href: address('/pubsub', { tab: 'wildcards' }) },
            { id: 'retained', title: 'Retained', href: address('/pubsub', { tab: 'retained' }) },
          ]}
        />
        {tab === 'topics' ? (
          <Topics />
        ) : tab === 'wildcards' ? (
          <Wildcards />
        ) : tab === 'retained' ? (
          <RetainedMessages />
        ) : (
          <PubSubTail />
        )}
      </div>
      {publishing && <PublishDialog onClose={() => setPublishing(false)} />}
    </>
  )
}

function PublishDialog({ onClose }: { onClose: () => void }) {
  const [topic, setTopic] = useState('')
  const [payload, setPayload] = useState('')
  const [retain, setRetain] = useState(false)
  const [ttl, setTtl] = useState('')
  const submit = async () => {
    const milliseconds = ttl.trim() === '' ? 0 : parseSpan(ttl)
    if (milliseconds === null) throw new Error(`"${ttl}" is no time: write 30s, 5m, 2h or 1d`)
    const { receivers } = await publish({ topic, payload, retain, ttl: milliseconds })
    tell(`Delivered to ${counted(receivers, 'subscriber')}`)
  }
  return (
    <FormDialog title="Publish" action="Publish" disabled={topic === ''} onSubmit={submit} onClose={onClose}>
      <TextField label="Topic" value={topic} onChange={setTopic} placeholder="plant/oven/temperature" />
      <TextField label="Payload" value={payload} onChange={setPayload} lines={5} />
      <label className="check">
        <input type="checkbox" checked={retain} onChange={(event) => setRetain(event.target.checked)} />
        Retain: whoever subscribes later gets it first
      </label>
      {retain && <TextField label="Expires in" value={ttl} onChange={setTtl} placeholder="never, or 30s, 5m, 2h, 1d" />}
    </FormDialog>
  )
}
