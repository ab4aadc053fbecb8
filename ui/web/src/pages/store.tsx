import { useQuery, useQueryClient } from '@tanstack/react-query'
import { ChevronRight, Folder, Plus, RotateCw, Trash2 } from 'lucide-react'
import { useCallback, useState } from 'react'
import { Link } from 'wouter'
import { address, useAddress } from '../address'
import { countPrefix, deletePrefix, fetchTree, searchKeys } from '../api/store'
import type { KeyFolder, KeyRow } from '../api/types'
import { ChangeButton } from '../components/change-button'
import { Confirm } from '../components/dialog'
import { Empty, Panel } from '../components/panel'
import { ScanFoot } from '../components/scan-foot'
import { SearchField } from '../components/search-field'
import { type Column, VirtualTable } from '../components/virtual-table'
import { bytes, counted, exact } from '../format/number'
import { span } from '../format/time'
import { problemOf } from '../http/client'
import { useEscape } from '../keys'
import { useSearch } from '../queries/search'
import { KeyDetailPanel } from './key-detail'
import { NewKey } from './key-dialogs'
import { TaskProgress } from './task-progress'

const databases = 16

/** A row of the tree: a folder to go into, or a key to look at. */
type Node = { folder: KeyFolder } | { row: KeyRow }

export function StorePage() {
  const { get, set } = useAddress()
  const db = Number(get('db') ?? 0)
  const prefix = get('prefix') ?? ''
  const match = get('match') ?? ''
  const delimiter = get('by') ?? ':'
  const open = get('key')
  const [creating, setCreating] = useState(false)
  const close = useCallback(() => set({ key: null }), [set])
  useEscape(open !== null, close)
  return (
    <>
      <header className="page-head">
        <h1>Store</h1>
        <SearchField label="Find keys: a part, or a glob with *" name="match" />
        <div className="actions">
          <select
            className="input"
            style={{ width: 'auto' }}
            aria-label="Database"
            value={db}
            onChange={(event) => set({ db: event.target.value, prefix: null, key: null })}
          >
            {Array.from({ length: databases }, (_, index) => (
              <option key={index} value={index}>
                Database {index}
              </option>
            ))}
          </select>
          <select
            className="input"
            style={{ width: 'auto' }}
            aria-label="Folders are split at"
            value={delimiter}
            onChange={(event) => set({ by: event.target.value === ':' ? null : event.target.value, prefix: null })}
          >
            {[':', '/', '.', '-', '|'].map((each) => (
              <option key={each} value={each}>
                Split at {each}
              </option>
            ))}
          </select>
          <ChangeButton onClick={() => setCreating(true)}>
            <Plus aria-hidden /> New key
          </ChangeButton>
        </div>
      </header>
      <div className="page-body">
        <div className="split" data-open={open !== null}>
          {match ? (
            <FoundKeys db={db} match={match} open={open} onOpen={(key) => set({ key })} />
          ) : (
            <KeyTreePanel db={db} prefix={prefix} delimiter={delimiter} open={open} />
          )}
          {open !== null && <KeyDetailPanel key={`${db}/${open}`} db={db} name={open} onClose={close} />}
        </div>
      </div>
      {creating && (
        <NewKey
          db={db}
          prefix={prefix}
          onClose={() => setCreating(false)}
          onDone={(key) => set({ key, match: null })}
        />
      )}
    </>
  )
}

function keyColumns(name: Column<KeyRow>): Column<KeyRow>[] {
  return [
    name,
    { id: 'type', title: 'Type', width: '64px', cell: (row) => <span className="muted">{row.type}</span> },
    { id: 'size', title: 'Size', width: '74px', end: true, cell: (row) => bytes(row.size) },
    { id: 'ttl', title: 'Expires in', width: '92px', end: true, cell: (row) => <Ttl milliseconds={row.ttl} /> },
  ]
}

/** The name of a key; one without letters is a name too. */
function Name({ children: name }: { children: string }) {
  return name === '' ? <span className="muted">(the empty key)</span> : <code>{name}</code>
}

function Ttl({ milliseconds }: { milliseconds: number }) {
  return milliseconds < 0 ? <span className="muted">never</span> : <span>{span(milliseconds)}</span>
}

interface FoundProps {
  db: number
  match: string
  open: string | null
  onOpen: (key: string) => void
}

function FoundKeys({ db, match, open, onOpen }: FoundProps) {
  const found = useSearch<KeyRow>({
    key: ['keys', db, match],
    fetch: (cursor, signal) => searchKeys(db, match, cursor, signal),
  })
  const columns = keyColumns({
    id: 'key',
    title: 'Key',
    width: 'minmax(140px, 1fr)',
    cell: (row) => <Name>{row.key}</Name>,
  })
  return (
    <Panel label="Keys found" foot={<ScanFoot search={found} noun="key" />}>
      <VirtualTable
        label="Keys found"
        columns={columns}
        count={found.rows.length}
        row={(index) => found.rows[index]}
        rowKey={(row) => row.key}
        selected={open}
        onOpen={(row) => onOpen(row.key)}
        problem={found.problem}
        empty={<Empty title={found.busy || !found.loaded ? 'Searching' : `No key matches "${match}"`} />}
      />
    </Panel>
  )
}

interface TreeProps {
  db: number
  prefix: string
  delimiter: string
  open: string | null
}

function KeyTreePanel({ db, prefix, delimiter, open }: TreeProps) {
  const { set } = useAddress()
  const queries = useQueryClient()
  const [deleting, setDeleting] = useState(false)
  const tree = useQuery({
    queryKey: ['tree', db, prefix, delimiter],
    queryFn: ({ signal }) => fetchTree(db, prefix, delimiter, signal),
    refetchInterval: 3000,
  })
  const nodes: Node[] = [
    ...(tree.data?.folders.map((folder) => ({ folder })) ?? []),
    ...(tree.data?.keys.map((row) => ({ row })) ?? []),
  ]
  const keyOnly = keyColumns({
    id: 'key',
    title: 'Key',
    width: '',
    cell: (row) => <Name>{row.key.slice(prefix.length) || row.key}</Name>,
  })
  const columns: Column<Node>[] = keyOnly.map((column) => ({
    ...column,
    width: column.id === 'key' ? 'minmax(140px, 1fr)' : column.width,
    cell: (node, index) =>
      'row' in node ? column.cell(node.row, index) : <FolderCell folder={node.folder} column={column.id} />,
  }))
  return (
    <Panel
      label="Keys"
      title={<Crumbs prefix={prefix} delimiter={delimiter} />}
      actions={
        <>
          {prefix && (
            <ChangeButton className="small danger" onClick={() => setDeleting(true)}>
              <Trash2 aria-hidden /> Delete all below
            </ChangeButton>
          )}
          <button
            type="button"
            className="button small quiet icon"
            aria-label="Read again"
            onClick={() => tree.refetch()}
          >
            <RotateCw aria-hidden />
          </button>
        </>
      }
      foot={tree.data ? <TreeFoot tree={tree.data} /> : 'Loading'}
    >
      <VirtualTable
        key={prefix}
        label="Keys"
        problem={tree.error && problemOf(tree.error)}
        columns={columns}
        count={nodes.length}
        row={(index) => nodes[index]}
        rowKey={(node) => ('row' in node ? node.row.key : `folder ${node.folder.name}`)}
        selected={open}
        onOpen={(node) =>
          'row' in node ? set({ key: node.row.key }) : set({ prefix: node.folder.name, key: null }, { push: true })
        }
        empty={
          tree.data ? (
            <Empty
              title={prefix ? `No key begins with ${prefix}` : 'No key in this database'}
              command="redis-cli -p 7654 NSET session:42 '{&quot;user&quot;:&quot;ada&quot;}' EX 1800"
            />
          ) : (
            <Empty title="Loading" />
          )
        }
      />
      {deleting && (
        <DeletePrefix
          db={db}
          prefix={prefix}
          onClose={() => setDeleting(false)}
          onDone={() => {
            set({ prefix: parentOf(prefix, delimiter), key: null })
            void queries.invalidateQueries({ queryKey: ['tree', db] })
          }}
        />
      )}
    </Panel>
  )
}

function FolderCell({ folder, column }: { folder: KeyFolder; column: string }) {
  if (column === 'key') {
    return (
      <span className="row">
        <Folder size={14} aria-hidden className="muted" />
        <b className="clip">{folder.label || <span className="muted">empty</span>}</b>
        <ChevronRight size={13} aria-hidden className="muted" />
      </span>
    )
  }
  return column === 'size' ? <span className="muted">{counted(folder.count, 'key')}</span> : null
}

function TreeFoot({
  tree,
}: {
  tree: { scanned: number; total: number; more: boolean; folders: KeyFolder[]; keys: KeyRow[] }
}) {
  return (
    <span>
      {counted(tree.folders.length, 'folder')}, {counted(tree.keys.length, 'key')} here
      {tree.more && `: the first ${exact(tree.scanned)} of ${exact(tree.total)} keys were counted, search for the rest`}
    </span>
  )
}

function parentOf(prefix: string, delimiter: string): string {
  const end = prefix.slice(0, -delimiter.length).lastIndexOf(delimiter)
  return end < 0 ? '' : prefix.slice(0, end + delimiter.length)
}

function Crumbs({ prefix, delimiter }: { prefix: string; delimiter: string }) {
  const { get } = useAddress()
  const parts = prefix.split(delimiter).slice(0, -1)
  const link = (to: string) => address('/store', { db: get('db'), by: get('by'), prefix: to })
  return (
    <nav className="row grow wrap" aria-label="Folder">
      <Link href={link('')}>All keys</Link>
      {parts.map((part, index) => {
        const to = parts.slice(0, index + 1).join(delimiter) + delimiter
        return (
          <span key={to}>
            <span className="muted">{delimiter}</span> <Link href={link(to)}>{part}</Link>
          </span>
        )
      })}
    </nav>
  )
}

interface DeleteProps {
  db: number
  prefix: string
  onClose: () => void
  onDone: () => void
}

function DeletePrefix({ db, prefix, onClose, onDone }: DeleteProps) {
  const count = useQuery({ queryKey: ['count-prefix', db, prefix], queryFn: () => countPrefix(db, prefix), gcTime: 0 })
  const [task, setTask] = useState<string | null>(null)
  if (task) {
    const says = (done: number) => `Deleted ${counted(done, 'key')}`
    return <TaskProgress id={task} title="Deleting" says={says} onEnd={onDone} onClose={onClose} />
  }
  const submit = async () => {
    setTask((await deletePrefix(db, prefix)).task)
    return 'stay'
  }
  return (
    <Confirm title="Delete all keys below" action="Delete the keys" typed={prefix} onConfirm={submit} onClose={onClose}>
      {count.error && <p className="problem">{problemOf(count.error)}</p>}
      <p>
        {count.data ? counted(count.data.count, 'key') : 'Counting the keys'} that begin with <code>{prefix}</code>.
        This cannot be undone.
      </p>
    </Confirm>
  )
}
