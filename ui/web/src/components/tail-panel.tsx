import { Eraser, Pause, Play } from 'lucide-react'
import { type ReactNode, useState } from 'react'
import { useFeedState, useTail } from '../feed/react'
import { compact, exact, rate } from '../format/number'
import { Panel } from './panel'
import { type Column, VirtualTable } from './virtual-table'

interface Props<Item> {
  /** The topic of the feed and its query. */
  topic: string
  query: Record<string, string>
  label: string
  search?: ReactNode
  columns: Column<Item>[]
  rowKey: (item: Item) => string
  selected?: string | null
  onOpen: (item: Item) => void
  empty: ReactNode
  minWidth?: number
}

/** What comes, newest first, with what it costs to watch: nothing is left out unseen. */
export function TailPanel<Item>({ topic, query, label, search, rowKey, onOpen, empty, ...table }: Props<Item>) {
  const [paused, setPaused] = useState(false)
  const { polled } = useFeedState()
  const { items, rate: perSecond, dropped, problem, clear } = useTail<Item>(topic, query, paused)
  return (
    <Panel
      label={label}
      title={search ?? 'Live'}
      actions={
        <>
          <button type="button" className="button small" onClick={() => setPaused(!paused)}>
            {paused ? <Play aria-hidden /> : <Pause aria-hidden />} {paused ? 'Resume' : 'Pause'}
          </button>
          <button type="button" className="button small quiet" onClick={clear}>
            <Eraser aria-hidden /> Clear
          </button>
          <span className="muted number">
            {compact(items.length)} shown, {paused ? 'paused' : `${rate(perSecond)}/s`}
            {dropped > 0 && `, ${exact(dropped)} left out`}
          </span>
        </>
      }
    >
      {polled && <p className="problem">A live tail needs a WebSocket, and none comes through to the server.</p>}
      <VirtualTable
        {...table}
        label={label}
        count={items.length}
        row={(index) => items[index]}
        rowKey={rowKey}
        onOpen={(item) => {
          setPaused(true) // what was clicked must stay where it is
          onOpen(item)
        }}
        problem={problem}
        empty={empty}
      />
    </Panel>
  )
}
