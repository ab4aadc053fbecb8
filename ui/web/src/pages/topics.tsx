import { useQuery } from '@tanstack/react-query'
import { useCallback } from 'react'
import { useAddress } from '../address'
import { fetchSubscribers, fetchTopics } from '../api/pubsub'
import type { Topic } from '../api/types'
import { DetailPanel } from '../components/detail-panel'
import { Empty, Panel } from '../components/panel'
import { ScanFoot } from '../components/scan-foot'
import { SearchField } from '../components/search-field'
import { type Column, VirtualTable } from '../components/virtual-table'
import { compact } from '../format/number'
import { problemOf } from '../http/client'
import { useEscape } from '../keys'
import { useSearch } from '../queries/search'

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
                A topic is here while somebody subscribes to it or a message is retained on it.
              </Empty>
            ) : (
              <Empty title="Loading" />
            )
          }
        />
      </Panel>
      {open !== null && <SubscribersPanel key={open} topic={open} onClose={close} />}
    </div>
  )
}

function SubscribersPanel({ topic, onClose }: { topic: string; onClose: () => void }) {
  const { data, error } = useQuery({
    queryKey: ['subscribers', topic],
    queryFn: () => fetchSubscribers(topic),
    refetchInterval: 2000,
  })
  return (
    <DetailPanel
      label={`Subscribers of ${topic}`}
      title={
        <>
          Who gets <code>{topic}</code>
        </>
      }
      what="the subscribers"
      onClose={onClose}
    >
      {error && <p className="problem">{problemOf(error)}</p>}
      {data?.rows.length === 0 && <Empty title="Nobody">A publish to it reaches no subscriber now.</Empty>}
      <ul className="stack">
        {data?.rows.map((row) => (
          <li key={`${row.id} ${row.filter}`}>
            <b>{row.name || `client ${row.id}`}</b> <span className="muted number">{row.addr}</span>
            <br />
            <span className="muted">by</span> <code>{row.filter}</code>
          </li>
        ))}
      </ul>
    </DetailPanel>
  )
}
