import { useCallback } from 'react'
import { useAddress } from '../address'
import { fetchTopics } from '../api/pubsub'
import type { Topic } from '../api/types'
import { Empty, Panel } from '../components/panel'
import { ScanFoot } from '../components/scan-foot'
import { SearchField } from '../components/search-field'
import { type Column, VirtualTable } from '../components/virtual-table'
import { compact } from '../format/number'
import { useEscape } from '../keys'
import { useSearch } from '../queries/search'
import { SubscribersPanel } from './subscribers'

const columns: Column<Topic>[] = [
  { id: 'topic', title: 'Topic', width: 'minmax(140px, 1fr)', cell: (row) => <code>{row.topic}</code> },
  {
    id: 'retained',
    title: 'Retained',
    width: '80px',
    cell: (row) => (row.retained ? <span className="pill">retained</span> : null),
  },
  { id: 'subscribers', title: 'Subscribers', width: '90px', end: true, cell: (row) => compact(row.subscribers) },
]

export function Topics() {
  const { get, set } = useAddress()
  const filter = get('filter') ?? ''
  const open = get('topic')
  const close = useCallback(() => set({ topic: null }), [set])
  useEscape(open !== null, close)
  const list = useSearch<Topic>({
    key: ['topics', filter],
    fetch: (cursor, signal) => fetchTopics(filter || '#', cursor, signal),
  })
  return (
    <div className="split" data-open={open !== null}>
      <Panel
        label="Topics"
        title={<SearchField label="Filter: plant/+/temperature, plant/#" />}
        foot={<ScanFoot search={list} noun="topic" />}
      >
        <VirtualTable
          label="Topics"
          columns={columns}
          count={list.rows.length}
          row={(index) => list.rows[index]}
          rowKey={(row) => row.topic}
          selected={open}
          onOpen={(row) => set({ topic: row.topic })}
          problem={list.problem}
          empty={
            list.loaded ? (
              <Empty title="No topic">
                A topic is here while somebody subscribes to it or a message is retained on it. Filters and patterns
                have their own list.
              </Empty>
            ) : (
              <Empty title="Loading" />
            )
          }
        />
      </Panel>
      {open !== null && <SubscribersPanel key={open} name={open} onClose={close} />}
    </div>
  )
}
