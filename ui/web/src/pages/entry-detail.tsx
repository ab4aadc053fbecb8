import { useQuery } from '@tanstack/react-query'
import { fetchEntry } from '../api/stream'
import { DetailPanel } from '../components/detail-panel'
import { Empty, Facts } from '../components/panel'
import { PayloadView } from '../components/payload-view'
import { moment } from '../format/time'
import { problemOf } from '../http/client'

interface Props {
  stream: string
  offset: string
  onClose: () => void
}

export function EntryDetail({ stream, offset, onClose }: Props) {
  const { data: entry, error } = useQuery({
    queryKey: ['entry', stream, offset],
    queryFn: () => fetchEntry(stream, offset, false),
    staleTime: Number.POSITIVE_INFINITY, // entries never change
  })
  return (
    <DetailPanel label={`Entry ${offset}`} title={`Entry ${offset}`} what="the entry" onClose={onClose}>
      {error && <Empty title={problemOf(error)}>Retention may have removed it.</Empty>}
      {entry && (
        <>
          {entry.fields ? (
            <Facts items={entry.fields.map(([name, value]) => [name, <code key={name}>{value}</code>])} />
          ) : (
            <PayloadView
              payload={entry.payload}
              loadAll={async () => (await fetchEntry(stream, offset, true)).payload}
              fileName={`${stream}-${offset}`}
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
    </DetailPanel>
  )
}
