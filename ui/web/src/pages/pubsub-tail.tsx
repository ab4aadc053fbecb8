import { useCallback, useState } from 'react'
import { useAddress } from '../address'
import type { WirePayload } from '../api/types'
import { DetailPanel } from '../components/detail-panel'
import { Empty, Facts } from '../components/panel'
import { PayloadPreview } from '../components/payload-preview'
import { PayloadView } from '../components/payload-view'
import { SearchField } from '../components/search-field'
import { TailPanel } from '../components/tail-panel'
import type { Column } from '../components/virtual-table'
import { bytes } from '../format/number'
import { clock, moment } from '../format/time'
import { useEscape } from '../keys'

interface Message {
  at: number
  topic: string
  payload: WirePayload
  retained: boolean
}

const columns: Column<Message>[] = [
  {
    id: 'time',
    title: 'Time',
    width: '96px',
    cell: (message) => <time className="number muted">{clock(message.at)}</time>,
  },
  {
    id: 'topic',
    title: 'Topic',
    width: 'minmax(110px, 1fr)',
    cell: (message) => (
      <span className="row">
        <code className="clip">{message.topic}</code>
        {message.retained && <span className="pill">retained</span>}
      </span>
    ),
  },
  {
    id: 'payload',
    title: 'Payload',
    width: 'minmax(120px, 2fr)',
    cell: (message) => <PayloadPreview payload={message.payload} />,
  },
  {
    id: 'size',
    title: 'Size',
    width: '70px',
    end: true,
    cell: (message) => <span className="muted">{bytes(message.payload.size)}</span>,
  },
]

export function PubSubTail() {
  const { get } = useAddress()
  const filter = get('filter') ?? '#'
  const [open, setOpen] = useState<Message | null>(null)
  const close = useCallback(() => setOpen(null), [])
  useEscape(open !== null, close)
  return (
    <div className="split" data-open={open !== null}>
      <TailPanel<Message>
        topic="tail:pubsub"
        query={{ filter }}
        label="Live messages"
        search={<SearchField label="Filter: plant/+/temperature, plant/#" />}
        columns={columns}
        rowKey={(message) => `${message.at} ${message.topic}`}
        onOpen={setOpen}
        empty={
          <Empty
            title={`Waiting for messages on ${filter}`}
            command="redis-cli -p 7654 NPUB plant/oven/temperature 213"
          >
            Every message that matches appears here. Watching never slows a publisher: a flood is sampled and counted.
          </Empty>
        }
      />
      {open && (
        <DetailPanel label="Message" title={<code>{open.topic}</code>} what="the message" onClose={close}>
          <PayloadView payload={open.payload} fileName={open.topic.replaceAll('/', '_')} />
          <Facts items={[['Published', moment(open.at)]]} />
        </DetailPanel>
      )}
    </div>
  )
}
