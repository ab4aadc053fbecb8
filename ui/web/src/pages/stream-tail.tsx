import { useCallback } from 'react'
import { useAddress } from '../address'
import type { Entry } from '../api/types'
import { Empty } from '../components/panel'
import { TailPanel } from '../components/tail-panel'
import { useEscape } from '../keys'
import { EntryDetail } from './entry-detail'
import { entryColumns } from './stream-entries'

export function StreamTail({ name }: { name: string }) {
  const { get, set } = useAddress()
  const open = get('offset')
  const close = useCallback(() => set({ offset: null }), [set])
  useEscape(open !== null, close)
  return (
    <div className="split" data-open={open !== null}>
      <TailPanel<Entry>
        topic="tail:stream"
        query={{ name }}
        label={`Live entries of ${name}`}
        columns={entryColumns}
        rowKey={(entry) => entry.offset}
        selected={open}
        onOpen={(entry) => set({ offset: entry.offset })}
        empty={
          <Empty title="Waiting for entries" command={`redis-cli -p 7654 XAPPEND ${name} 'hello'`}>
            New entries appear here as they become durable.
          </Empty>
        }
      />
      {open !== null && <EntryDetail key={open} stream={name} offset={open} onClose={close} />}
    </div>
  )
}
