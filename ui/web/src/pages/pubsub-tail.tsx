import { X } from 'lucide-react'
import { useCallback, useState } from 'react'
import { useAddress } from '../address'
import type { WirePayload } from '../api/types'
import { Empty, Facts, Panel } from '../components/panel'
import { PayloadPreview } from '../components/payload-preview'
import { PayloadView } from '../components/payload-view'
import { SearchField } from '../components/search-field'
import { TailHead } from '../components/tail-head'
import { type Column, VirtualTable } from '../components/virtual-table'
import { useTail } from '../feed/react'
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
  const { get, set } = useAddress()
  const filter = get('filter') ?? '#'
  const [paused, setPaused] = useState(false)
  const [open, setOpen] = useState<Message | null>(null)
  const tail = useTail<Message>('tail:pubsub', { filter }, paused)
  const close = useCallback(() => setOpen(null), [])
  useEscape(open !== null, close)
  return (
    <div className="split" data-open={open !== null}>
      <Panel
        label="Live tail"
        title={
          <SearchField
            label="Filter: plant/+/temperature, plant/#"
            value={filter === '#' ? '' : filter}
            onSearch={useCallback((text: string) => set({ filter: text }), [set])}
          />
        }
        actions={
          <TailHead
            paused={paused}
            onPause={setPaused}
            onClear={tail.clear}
            rate={tail.rate}
            dropped={tail.dropped}
            shown={tail.items.length}
          />
        }
      >
        {tail.problem && <p className="problem">{tail.problem}</p>}
        <VirtualTable
          label="Live messages"
          columns={columns}
          count={tail.items.length}
          row={(index) => tail.items[index]}
          rowKey={(message) => `${message.at} ${message.topic}`}
          onOpen={(message) => {
            setPaused(true) // what was clicked must stay where it is
            setOpen(message)
          }}
          empty={
            <Empty
              title={`Waiting for messages on ${filter}`}
              command="redis-cli -p 7654 NPUB plant/oven/temperature 213"
            >
              Every message that matches appears here. Watching never slows a publisher: a flood is sampled and counted.
            </Empty>
          }
        />
      </Panel>
      {open && <MessageDetail message={open} onClose={close} />}
    </div>
  )
}

function MessageDetail({ message, onClose }: { message: Message; onClose: () => void }) {
  return (
    <Panel
      label="Message"
      title={
        <h2 className="grow">
          <code>{message.topic}</code>
        </h2>
      }
      actions={
        <button type="button" className="button small quiet icon" aria-label="Close the message" onClick={onClose}>
          <X aria-hidden />
        </button>
      }
    >
      <div className="panel-body stack">
        <PayloadView payload={message.payload} fileName={message.topic.replaceAll('/', '_')} />
        <Facts items={[['Published', moment(message.at)]]} />
      </div>
    </Panel>
  )
}
