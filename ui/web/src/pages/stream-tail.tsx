import { useCallback, useState } from 'react'
import { useAddress } from '../address'
import type { Entry } from '../api/types'
import { Empty, Panel } from '../components/panel'
import { TailHead } from '../components/tail-head'
import { VirtualTable } from '../components/virtual-table'
import { useTail } from '../feed/react'
import { useEscape } from '../keys'
import { EntryDetail } from './entry-detail'
import { entryColumns } from './stream-entries'

export function StreamTail({ name }: { name: string }) {
  const { get, set } = useAddress()
  const [paused, setPaused] = useState(false)
  const open = get('offset')
  const tail = useTail<Entry>('tail:stream', { name }, paused)
  const close = useCallback(() => set({ offset: null }), [set])
  useEscape(open !== null, close)
  return (
    <div className="split" data-open={open !== null}>
      <Panel
        label="Live tail"
        title={
          <div className="row wrap grow">
            <TailHead
              paused={paused}
              onPause={setPaused}
              onClear={tail.clear}
              rate={tail.rate}
              dropped={tail.dropped}
              shown={tail.items.length}
            />
          </div>
        }
      >
        {tail.problem && <p className="problem">{tail.problem}</p>}
        <VirtualTable
          label={`Live entries of ${name}`}
          columns={entryColumns}
          count={tail.items.length}
          row={(index) => tail.items[index]}
          rowKey={(entry) => entry.offset}
          selected={open}
          onOpen={(entry) => {
            setPaused(true) // what was clicked must stay where it is
            set({ offset: entry.offset })
          }}
          empty={
            <Empty title="Waiting for entries" command={`redis-cli -p 7654 XAPPEND ${name} 'hello'`}>
              New entries appear here as they become durable.
            </Empty>
          }
        />
      </Panel>
      {open !== null && <EntryDetail key={open} stream={name} offset={open} onClose={close} />}
    </div>
  )
}
