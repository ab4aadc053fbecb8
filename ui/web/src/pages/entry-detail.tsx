import { useQuery } from '@tanstack/react-query'
import { X } from 'lucide-react'
import { useMemo, useState } from 'react'
import { fetchEntry } from '../api/stream'
import { Empty, Facts, Panel } from '../components/panel'
import { PayloadView } from '../components/payload-view'
import { fromBase64 } from '../format/payload'
import { moment } from '../format/time'
import { problemOf } from '../http/client'

interface Props {
  stream: string
  offset: string
  onClose: () => void
}

export function EntryDetail({ stream, offset, onClose }: Props) {
  const [full, setFull] = useState(false)
  const { data: entry, error } = useQuery({
    queryKey: ['entry', stream, offset, full],
    queryFn: () => fetchEntry(stream, offset, full),
    placeholderData: (before) => before,
    staleTime: Number.POSITIVE_INFINITY, // entries never change
  })
  const raw = useMemo(() => (entry ? fromBase64(entry.payload.b64) : null), [entry])
  return (
    <Panel
      label={`Entry ${offset}`}
      title={<h2 className="grow number">Entry {offset}</h2>}
      actions={
        <button type="button" className="button small quiet icon" aria-label="Close the entry" onClick={onClose}>
          <X aria-hidden />
        </button>
      }
    >
      <div className="panel-body stack">
        {error && <Empty title={problemOf(error)}>Retention may have removed it.</Empty>}
        {entry && raw && (
          <>
            {entry.fields ? (
              <Facts items={entry.fields.map(([name, value]) => [name, <code key={name}>{value}</code>])} />
            ) : (
              <PayloadView
                raw={raw}
                size={entry.payload.size}
                fileName={`${stream}-${offset}`}
                {...(full ? {} : { onLoadAll: () => setFull(true) })}
              />
            )}
            <Facts
              items={[
                ['Offset', entry.offset],
                ['Redis id', entry.id],
                ['Appended', moment(entry.ms)],
              ]}
            />
          </>
        )}
      </div>
    </Panel>
  )
}
