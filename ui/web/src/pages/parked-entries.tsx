import { useQueryClient } from '@tanstack/react-query'
import { RotateCcw, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { fetchParked, unpark } from '../api/stream'
import type { ParkedEntry } from '../api/types'
import { ChangeButton } from '../components/change-button'
import { Confirm } from '../components/dialog'
import { Empty, Panel } from '../components/panel'
import { tell } from '../components/toast'
import { type Column, VirtualTable } from '../components/virtual-table'
import { useNow } from '../feed/status'
import { counted } from '../format/number'
import { relative } from '../format/time'
import { problemOf } from '../http/client'
import { useSearch } from '../queries/search'
import { entryColumns } from './stream-entries'

/** Entries that a group has given up on: to deliver again, or to drop. */
export function ParkedEntries({ stream, group }: { stream: string; group: string }) {
  const queries = useQueryClient()
  const now = useNow()
  const [dropping, setDropping] = useState(false)
  const list = useSearch<ParkedEntry>({
    key: ['parked', stream, group],
    fetch: (cursor, signal) => fetchParked(stream, group, cursor, signal),
  })
  const act = async (offsets: string[] | null, drop: boolean) => {
    const { count } = await unpark(stream, group, offsets, drop)
    tell(`${drop ? 'Dropped' : 'Gave back'} ${counted(count, 'entry', 'entries')}`)
    await queries.invalidateQueries({ queryKey: ['parked', stream, group] })
  }
  const giveBack = (offsets: string[] | null) => act(offsets, false).catch((error) => tell(problemOf(error), 'bad'))
  const columns: Column<ParkedEntry>[] = [
    ...(entryColumns.filter((column) => column.id !== 'size') as Column<ParkedEntry>[]),
    { id: 'reason', title: 'Reason', width: 'minmax(90px, 1fr)', cell: (entry) => entry.reason || '–' },
    { id: 'deliveries', title: 'Deliveries', width: '72px', end: true, cell: (entry) => entry.deliveries },
    { id: 'parked', title: 'Parked', width: '100px', end: true, cell: (entry) => relative(entry.parkedMs, now) },
    {
      id: 'back',
      title: <span className="hidden">Give back</span>,
      width: '28px',
      cell: (entry) => (
        <ChangeButton
          className="small quiet icon"
          label={`Give back entry ${entry.offset}`}
          onClick={() => giveBack([entry.offset])}
        >
          <RotateCcw aria-hidden />
        </ChangeButton>
      ),
    },
  ]
  return (
    <Panel
      className="parked"
      title={`Parked by ${group}`}
      actions={
        <>
          <ChangeButton className="small" disabled={list.rows.length === 0} onClick={() => giveBack(null)}>
            <RotateCcw aria-hidden /> Give all back
          </ChangeButton>
          <ChangeButton className="small danger" disabled={list.rows.length === 0} onClick={() => setDropping(true)}>
            <Trash2 aria-hidden /> Drop all
          </ChangeButton>
        </>
      }
    >
      <VirtualTable
        label={`Entries parked by ${group}`}
        columns={columns}
        minWidth={640}
        count={list.rows.length}
        row={(index) => list.rows[index]}
        rowKey={(entry) => entry.offset}
        problem={list.problem}
        empty={<Empty title={list.loaded ? 'Nothing is parked' : 'Loading'} />}
      />
      {dropping && (
        <Confirm
          title={`Drop what ${group} has parked`}
          action="Drop"
          typed={group}
          onConfirm={() => act(null, true)}
          onClose={() => setDropping(false)}
        >
          <p>The group will not see these entries again. They stay in the stream.</p>
        </Confirm>
      )}
    </Panel>
  )
}
