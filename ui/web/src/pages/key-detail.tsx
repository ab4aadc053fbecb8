import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Pencil, Timer, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { deleteKeys, fetchKey } from '../api/store'
import type { KeyDetail, WirePayload } from '../api/types'
import { ChangeButton } from '../components/change-button'
import { DetailPanel } from '../components/detail-panel'
import { Confirm } from '../components/dialog'
import { Empty, Facts } from '../components/panel'
import { PayloadView } from '../components/payload-view'
import { tell } from '../components/toast'
import { useNow } from '../feed/status'
import { bytes, exact } from '../format/number'
import { fromBase64, readPayload } from '../format/payload'
import { moment, span } from '../format/time'
import { HttpProblem, problemOf } from '../http/client'
import { useSession } from '../session'
import { EditKey, ExpireKey } from './key-dialogs'

/** Editing more than this in a text field is no pleasure, and saving it would send it back whole. */
const editLimit = 256 * 1024

interface Props {
  db: number
  name: string
  onClose: () => void
}

export function KeyDetailPanel({ db, name, onClose }: Props) {
  const [editing, setEditing] = useState<Uint8Array | null>(null)
  const [expiring, setExpiring] = useState(false)
  const [removing, setRemoving] = useState(false)
  const { hidePayloads } = useSession()
  const queries = useQueryClient()
  const { data, error, dataUpdatedAt } = useQuery({
    queryKey: ['key', db, name],
    queryFn: () => fetchKey(db, name, false),
    refetchInterval: ({ state }) => (state.error instanceof HttpProblem ? false : 2000), // what is gone stays gone
  })
  const value = data?.value
  // Even an empty value: a save compares with what is there, which a dashboard that hides values does not do.
  const editable = !hidePayloads && value !== undefined && value !== null && value.size <= editLimit && isText(value)
  const loadAll = async () => {
    const { value: whole } = await fetchKey(db, name, true)
    if (!whole) throw new Error('The key holds something else now')
    return whole
  }
  const edit = async () => {
    try {
      setEditing(fromBase64((await loadAll()).b64))
    } catch (problem) {
      tell(problemOf(problem), 'bad')
    }
  }
  const again = () =>
    queries.invalidateQueries({ predicate: ({ queryKey }) => ['key', 'tree', 'keys'].includes(String(queryKey[0])) })
  const remove = async () => {
    await deleteKeys(db, [name])
    tell(`Deleted ${name || 'the empty key'}`)
    onClose()
    await again()
  }
  return (
    <DetailPanel
      label={`Key ${name}`}
      title={name === '' ? <span className="muted">The empty key</span> : <code>{name}</code>}
      what="the key"
      onClose={onClose}
      actions={
        <>
          {editable && (
            <ChangeButton className="small" onClick={edit}>
              <Pencil aria-hidden /> Edit
            </ChangeButton>
          )}
          <ChangeButton className="small" disabled={!data} onClick={() => setExpiring(true)}>
            <Timer aria-hidden /> Expiry
          </ChangeButton>
          <ChangeButton
            className="small danger icon"
            label="Delete the key"
            disabled={!data}
            onClick={() => setRemoving(true)}
          >
            <Trash2 aria-hidden />
          </ChangeButton>
        </>
      }
    >
      {error && <Empty title={problemOf(error)}>It was deleted or has expired.</Empty>}
      {data && !error && (
        <>
          {data.value && <PayloadView payload={data.value} loadAll={loadAll} fileName={name} />}
          {data.items && <Items detail={data} />}
          <KeyFacts detail={data} readAt={dataUpdatedAt} />
        </>
      )}
      {editing && <EditKey db={db} name={name} before={editing} onClose={() => setEditing(null)} onDone={again} />}
      {removing && (
        <Confirm title="Delete the key" action="Delete" onConfirm={remove} onClose={() => setRemoving(false)}>
          <p>
            {name === '' ? 'The empty key' : <code>{name}</code>} and its value are gone then. This cannot be undone.
          </p>
        </Confirm>
      )}
      {expiring && data && (
        <ExpireKey db={db} name={name} ttl={data.ttl} onClose={() => setExpiring(false)} onDone={again} />
      )}
    </DetailPanel>
  )
}

/** Whether what is known of a value is text; an empty one is, a hidden one is not known. */
function isText({ b64, size }: WirePayload): boolean {
  const raw = fromBase64(b64)
  return (size === 0 || raw.length > 0) && readPayload(raw, raw.length < size).text !== null
}

function KeyFacts({ detail, readAt }: { detail: KeyDetail; readAt: number }) {
  const now = useNow(detail.ttl >= 0)
  const left = Math.max(0, readAt + detail.ttl - now)
  return (
    <Facts
      items={[
        ['Type', detail.type],
        ['Size', bytes(detail.size)],
        [
          'Expires',
          detail.ttl < 0 ? (
            'never'
          ) : (
            <>
              in {span(left)} <span className="muted">{moment(readAt + detail.ttl)}</span>
            </>
          ),
        ],
      ]}
    />
  )
}

function Items({ detail }: { detail: KeyDetail }) {
  const items = detail.items ?? []
  return (
    <>
      <Facts
        items={items.map(([field, value]) => [
          field,
          <code key={field}>{readPayload(fromBase64(value.b64)).text ?? `binary, ${bytes(value.size)}`}</code>,
        ])}
      />
      {detail.count > items.length && (
        <p className="muted">
          The first {exact(items.length)} of {exact(detail.count)}.
        </p>
      )}
    </>
  )
}
