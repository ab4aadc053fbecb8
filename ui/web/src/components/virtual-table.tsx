import { useVirtualizer } from '@tanstack/react-virtual'
import {
  type CSSProperties,
  type KeyboardEvent,
  memo,
  type ReactNode,
  useCallback,
  useEffect,
  useId,
  useRef,
  useState,
} from 'react'

export interface Column<Row> {
  id: string
  title: ReactNode
  /** A CSS grid track: "120px", "minmax(0, 1fr)". */
  width: string
  end?: boolean
  cell: (row: Row, index: number) => ReactNode
  /** Set when the header sorts; the page keeps the order in its address. */
  onSort?: () => void
  sorted?: 'ascending' | 'descending' | undefined
}

interface Props<Row> {
  label: string
  columns: Column<Row>[]
  /** All rows there are; those without data yet are drawn as waiting. */
  count: number
  row: (index: number) => Row | undefined
  rowKey: (row: Row) => string
  selected?: string | null
  onOpen?: (row: Row) => void
  /** Called with the first and last index in sight, so that the page can fetch them. */
  onWindow?: (first: number, last: number) => void
  empty: ReactNode
  /** What kept rows from coming; it stands above those that came. */
  problem?: string | null
  /** The width under which the table scrolls sideways. */
  minWidth?: number
}

const rowHeight = 30

/**
 * A table of any length: only the rows in sight are in the document. It is one tab stop; arrows, j and k, Page Up and
 * Down, Home and End move, Enter opens.
 */
export function VirtualTable<Row>(props: Props<Row>) {
  const { columns, count, row, rowKey, onOpen, onWindow } = props
  const scroller = useRef<HTMLDivElement>(null)
  const [active, setActive] = useState(-1)
  const prefix = useId()
  const virtual = useVirtualizer({
    count,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 12,
    scrollPaddingStart: rowHeight,
  })
  const items = virtual.getVirtualItems()
  const first = items[0]?.index ?? 0
  const last = items[items.length - 1]?.index ?? -1

  useEffect(() => {
    if (last >= first) onWindow?.(first, last)
  }, [first, last, onWindow])

  const move = (to: number) => {
    const next = Math.max(0, Math.min(count - 1, to))
    setActive(next)
    virtual.scrollToIndex(next)
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.target !== scroller.current || event.metaKey || event.ctrlKey || event.altKey || count === 0) return
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / rowHeight) - 2)
    const steps: Record<string, number> = {
      ArrowDown: active + 1,
      j: active + 1,
      ArrowUp: active - 1,
      k: active - 1,
      PageDown: active + page,
      PageUp: active - page,
      Home: 0,
      End: count - 1,
    }
    const to = steps[event.key]
    if (to !== undefined) {
      event.preventDefault()
      move(to)
    } else if (event.key === 'Enter') {
      const current = active >= 0 ? row(active) : undefined
      if (current !== undefined) onOpen?.(current)
    }
  }

  const latest = useRef({ row, onOpen })
  latest.current = { row, onOpen }
  const press = useCallback((index: number, target: Element) => {
    setActive(index)
    const data = latest.current.row(index)
    if (data !== undefined && target.closest('a, button, input, label') === null) latest.current.onOpen?.(data)
  }, [])

  const problem = props.problem && <p className="problem">{props.problem}</p>
  if (count === 0) return <div className="grid">{problem || props.empty}</div>
  const style = {
    '--grid-columns': columns.map((column) => column.width).join(' '),
    '--grid-min': `${props.minWidth ?? 0}px`,
  } as CSSProperties
  return (
    <>
      {problem}
      <div
        ref={scroller}
        className="grid"
        style={style}
        role="grid"
        aria-label={props.label}
        aria-rowcount={count + 1}
        aria-colcount={columns.length}
        aria-activedescendant={active >= first && active <= last ? `${prefix}-${active}` : undefined}
        tabIndex={0}
        onKeyDown={onKeyDown}
        onFocus={(event) => {
          if (active < 0 && event.target === scroller.current) setActive(first)
        }}
      >
        <div className="grid-width" role="presentation">
          <div className="grid-head" role="row" aria-rowindex={1} tabIndex={-1}>
            {columns.map((column) => (
              <div
                key={column.id}
                role="columnheader"
                tabIndex={-1}
                className={column.end ? 'end' : undefined}
                aria-sort={column.sorted}
              >
                {column.onSort ? (
                  <button type="button" onClick={column.onSort}>
                    {column.title}
                    {column.sorted === 'ascending' ? ' ↑' : column.sorted === 'descending' ? ' ↓' : ''}
                  </button>
                ) : (
                  column.title
                )}
              </div>
            ))}
          </div>
          <div className="grid-body" role="rowgroup" style={{ height: virtual.getTotalSize() }}>
            {items.map((item) => {
              const data = row(item.index)
              const key = data === undefined ? null : rowKey(data)
              return (
                <TableRow
                  key={item.key}
                  id={`${prefix}-${item.index}`}
                  index={item.index}
                  start={item.start}
                  data={data}
                  columns={columns as Column<unknown>[]}
                  active={item.index === active}
                  selected={key !== null && key === props.selected}
                  opens={onOpen !== undefined}
                  onPress={press}
                />
              )
            })}
          </div>
        </div>
      </div>
    </>
  )
}

interface RowProps {
  id: string
  index: number
  start: number
  data: unknown
  columns: Column<unknown>[]
  active: boolean
  selected: boolean
  opens: boolean
  onPress: (index: number, target: Element) => void
}

/** Rows that stay in sight while scrolling are not drawn again. */
const TableRow = memo(function TableRow({
  id,
  index,
  start,
  data,
  columns,
  active,
  selected,
  opens,
  onPress,
}: RowProps) {
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the grid handles the keys for its active row
    <div
      id={id}
      className="grid-row"
      role="row"
      tabIndex={-1}
      aria-rowindex={index + 2}
      aria-selected={selected}
      data-active={active}
      data-action={opens}
      style={{ transform: `translateY(${start}px)` }}
      onClick={(event) => onPress(index, event.target as Element)}
    >
      {columns.map((column) => (
        <div key={column.id} role="gridcell" tabIndex={-1} className={column.end ? 'end' : undefined}>
          {data === undefined ? <span className="waiting" /> : column.cell(data, index)}
        </div>
      ))}
    </div>
  )
})
