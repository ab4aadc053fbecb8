import { useCallback } from 'react'
import { useAddress } from '../address'
import { fetchWildcards } from '../api/pubsub'
import type { Wildcard } from '../api/types'
import { Empty, Panel } from '../components/panel'
import { ScanFoot } from '../components/scan-foot'
import { SearchField } from '../components/search-field'
import { type Column, VirtualTable } from '../components/virtual-table'
import { compact } from '../format/number'
import { useEscape } from '../keys'
import { useSearch } from '../queries/search'
import { SubscribersPanel } from './subscribers'

const columns: Column<Wildcard>[] = [
  {
    id: 'name',
    title: 'Filter or pattern',
    width: 'minmax(140px, 1fr)',
    cell: (row) => (row.name === '' ? <span className="muted">empty</span> : <code>{row.name}</code>),
  },
  {
    id: 'kind',
    title: 'Kind',
    width: '70px',
    cell: (row) => <span className="muted">{row.pattern ? 'pattern' : 'filter'}</span>,
  },
  { id: 'subscribers', title: 'Subscribers', width: '90px', end: true, cell: (row) => compact(row.subscribers) },
]

/** What is subscribed to and is no topic of its own: filters with + and # (NSUB), and patterns (PSUBSCRIBE). */
export function Wildcards() {
  const { get, set } = useAddress()
  const filter = get('filter') ?? ''
  const open = get('topic')
  const close = useCallback(() => set({ topic: null }), [set])
  useEscape(open !== null, close)
  const list = useSearch<Wildcard>({
    key: ['wildcards', filter],
    fetch: (cursor, signal) => fetchWildcards(filter || '#', cursor, signal),
  })
  return (
    <div className="split" data-open={open !== null}>
      <Panel
        label="Wildcards"
        title={<SearchField label="Filter: plant/+/temperature, plant/#" />}
        foot={<ScanFoot search={list} noun="wildcard" />}
      >
        <VirtualTable
          label="Wildcards"
          columns={columns}
          count={list.rows.length}
          row={(index) => list.rows[index]}
          rowKey={(row) => row.name}
          selected={open}
          onOpen={(row) => set({ topic: row.name })}
          problem={list.problem}
          empty={
            list.loaded ? (
              <Empty title="Nobody subscribes with a wildcard" command="redis-cli -p 7654 PSUBSCRIBE 'plant.*'">
                Filters with + and #, and the patterns of PSUBSCRIBE, are listed here with who subscribes to them.
              </Empty>
            ) : (
              <Empty title="Loading" />
            )
          }
        />
      </Panel>
      {open !== null && <SubscribersPanel key={open} name={open} exact onClose={close} />}
    </div>
  )
}
