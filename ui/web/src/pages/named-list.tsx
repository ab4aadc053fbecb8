import { Plus } from 'lucide-react'
import { type ComponentType, type ReactNode, useState } from 'react'
import { address, useAddress, useGo } from '../address'
import { ChangeButton } from '../components/change-button'
import { Empty, Panel } from '../components/panel'
import { SearchField } from '../components/search-field'
import { type Column, VirtualTable } from '../components/virtual-table'
import { foldRows, type Rows, useTopic } from '../feed/react'
import { useSorted, useWindowQuery } from '../feed/window'
import { counted } from '../format/number'

/** A column of numbers: its name is what the server sorts by. */
export type NumberColumn<Row> = [id: keyof Row & string, title: string, cell: (row: Row) => ReactNode]

interface Props<Row> {
  title: string
  /** One of them, as words and as the path of its page. */
  noun: 'queue' | 'stream'
  /** What stands behind a name that has something special. */
  pill: (row: Row) => ReactNode
  numbers: NumberColumn<Row>[]
  minWidth: number
  /** Shown as long as there is none. */
  none: ReactNode
  Create: ComponentType<{ onClose: () => void; onDone: (name: string) => void }>
}

/** All queues or all streams: a window of the table that the server sorts and filters, live. */
export function NamedList<Row extends { name: string }>(props: Props<Row>) {
  const { title, noun, pill, numbers, minWidth, none, Create } = props
  const { get } = useAddress()
  const go = useGo()
  const [creating, setCreating] = useState(false)
  const filter = get('filter') ?? ''
  const { sort, sortable } = useSorted('name')
  const { query, onWindow } = useWindowQuery({ sort, filter })
  const topic = `${noun}s`
  const fold = foldRows<Row>((row) => row.name)
  const { data, query: shown, problem } = useTopic<Rows<Row>>(topic, query, fold)
  const columns: Column<Row>[] = [
    {
      ...sortable('name', title.slice(0, -1)),
      width: 'minmax(150px, 2fr)',
      cell: (row) => (
        <span className="row">
          <b className="clip">{row.name}</b>
          {pill(row)}
        </span>
      ),
    },
    ...numbers.map(([id, name, cell]) => ({
      ...sortable(id, name, true),
      width: 'minmax(72px, 1fr)',
      end: true,
      cell,
    })),
  ]
  const open = (name: string) => go(address(`/${noun}`, { name }))
  return (
    <>
      <header className="page-head">
        <h1>{title}</h1>
        <SearchField label={`Find a ${noun}`} />
        <div className="actions">
          <ChangeButton onClick={() => setCreating(true)}>
            <Plus aria-hidden /> New {noun}
          </ChangeButton>
        </div>
      </header>
      <div className="page-body">
        <Panel className="grow live" foot={data ? counted(data.total, noun) : 'Loading'}>
          <VirtualTable
            label={title}
            columns={columns}
            minWidth={minWidth}
            count={data?.total ?? 0}
            row={(index) => data?.rows[index - Number(shown?.from ?? 0)]}
            rowKey={(row) => row.name}
            onOpen={(row) => open(row.name)}
            onWindow={onWindow}
            problem={problem}
            empty={
              !data ? (
                <Empty title="Loading" />
              ) : filter ? (
                <Empty title={`No ${noun} has "${filter}" in its name`} />
              ) : (
                none
              )
            }
          />
        </Panel>
      </div>
      {creating && <Create onClose={() => setCreating(false)} onDone={open} />}
    </>
  )
}
