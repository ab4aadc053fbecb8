import { useQueryClient } from '@tanstack/react-query'
import { Trash2 } from 'lucide-react'
import { useCallback, useState } from 'react'
import { useAddress } from '../address'
import { deleteRetained, fetchRetained, fetchWholeRetained } from '../api/pubsub'
import type { Retained } from '../api/types'
import { ChangeButton } from '../components/change-button'
import { DetailPanel } from '../components/detail-panel'
import { Confirm } from '../components/dialog'
import { Empty, Facts, Panel } from '../components/panel'
import { PayloadPreview } from '../components/payload-preview'
import { PayloadView } from '../components/payload-view'
import { ScanFoot } from '../components/scan-foot'
import { SearchField } from '../components/search-field'
import { tell } from '../components/toast'
import { type Column, VirtualTable } from '../components/virtual-table'
import { bytes, counted } from '../format/number'
import { span } from '../format/time'
import { problemOf } from '../http/client'
import { useEscape } from '../keys'
import { useSearch } from '../queries/search'

const columns: Column<Retained>[] = [
  { id: 'topic', title: 'Topic', width: 'minmax(120px, 1fr)', cell: (row) => <code>{row.topic}</code> },
  {
    id: 'payload',
    title: 'Payload',
    width: 'minmax(120px, 2fr)',
    cell: (row) => <PayloadPreview payload={row.payload} />,
  },
  {
    id: 'size',
    title: 'Size',
    width: '70px',
    end: true,
    cell: (row) => <span className="muted">{bytes(row.payload.size)}</span>,
  },
  { id: 'ttl', title: 'Expires in', width: '90px', end: true, cell: (row) => (row.ttl < 0 ? 'never' : span(row.ttl)) },
]

export function RetainedMessages() {
  const { get, set } = useAddress()
  const queries = useQueryClient()
  const filter = get('filter') ?? ''
  const open = get('topic')
  const [clearing, setClearing] = useState(false)
  const close = useCallback(() => set({ topic: null }), [set])
  useEscape(open !== null, close)
  const list = useSearch<Retained>({
    key: ['retained', filter],
    fetch: (cursor, signal) => fetchRetained(filter || '#', cursor, signal),
  })
  const shown = list.rows.find((row) => row.topic === open)
  const remove = async (what: string) => {
    const { count } = await deleteRetained(what)
    tell(`Deleted ${counted(count, 'retained message')}`)
    close()
    await queries.invalidateQueries({ queryKey: ['retained'] })
  }
  return (
    <div className="split" data-open={shown !== undefined}>
      <Panel
        label="Retained messages"
        title={<SearchField label="Filter: plant/+/temperature, plant/#" />}
        actions={
          filter !== '' && (
            <ChangeButton className="small danger" disabled={list.rows.length === 0} onClick={() => setClearing(true)}>
              <Trash2 aria-hidden /> Delete all matching
            </ChangeButton>
          )
        }
        foot={<ScanFoot search={list} noun="message" />}
      >
        <VirtualTable
          label="Retained messages"
          columns={columns}
          count={list.rows.length}
          row={(index) => list.rows[index]}
          rowKey={(row) => row.topic}
          selected={open}
          onOpen={(row) => set({ topic: row.topic })}
          problem={list.problem}
          empty={
            list.loaded ? (
              <Empty title="No retained message" command="redis-cli -p 7654 NPUB plant/oven/temperature 213 RETAIN">
                The last retained message of a topic is kept on disk, and whoever subscribes gets it first.
              </Empty>
            ) : (
              <Empty title="Loading" />
            )
          }
        />
      </Panel>
      {shown && (
        <DetailPanel
          key={shown.topic}
          label={`Retained on ${shown.topic}`}
          title={<code>{shown.topic}</code>}
          what="the message"
          actions={
            <ChangeButton
              className="small danger"
              onClick={() => remove(shown.topic).catch((error) => tell(problemOf(error), 'bad'))}
            >
              <Trash2 aria-hidden /> Delete
            </ChangeButton>
          }
          onClose={close}
        >
          <PayloadView
            payload={shown.payload}
            loadAll={() => fetchWholeRetained(shown.topic)}
            fileName={shown.topic.replaceAll('/', '_')}
          />
          <Facts items={[['Expires', shown.ttl < 0 ? 'never' : `in ${span(shown.ttl)}`]]} />
        </DetailPanel>
      )}
      {clearing && (
        <Confirm
          title="Delete retained messages"
          action="Delete"
          typed={filter}
          onConfirm={() => remove(filter)}
          onClose={() => setClearing(false)}
        >
          <p>
            All retained messages on topics that match <code>{filter}</code>. This cannot be undone.
          </p>
        </Confirm>
      )}
    </div>
  )
}
