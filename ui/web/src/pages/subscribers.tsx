import { useQuery } from '@tanstack/react-query'
import { fetchSubscribers } from '../api/pubsub'
import { DetailPanel } from '../components/detail-panel'
import { Empty } from '../components/panel'
import { problemOf } from '../http/client'

interface Props {
  name: string
  /** Only those who subscribe to just this name, not all who get what is published to it. */
  exact?: boolean
  onClose: () => void
}

export function SubscribersPanel({ name, exact = false, onClose }: Props) {
  const { data, error } = useQuery({
    queryKey: ['subscribers', name, exact],
    queryFn: () => fetchSubscribers(name, exact),
    refetchInterval: 2000,
  })
  return (
    <DetailPanel
      label={`Subscribers of ${name}`}
      title={
        <>
          {exact ? 'Who subscribes to' : 'Who gets'} <code>{name}</code>
        </>
      }
      what="the subscribers"
      onClose={onClose}
    >
      {error && <p className="problem">{problemOf(error)}</p>}
      {data?.rows.length === 0 && (
        <Empty title="Nobody">{exact ? 'The last one has left.' : 'A publish to it reaches no subscriber now.'}</Empty>
      )}
      <ul className="stack">
        {data?.rows.map((row) => (
          <li key={`${row.id} ${row.filter}`}>
            <b>{row.name || `client ${row.id}`}</b> <span className="muted number">{row.addr}</span>
            <br />
            <span className="muted">by</span> <code>{row.filter}</code>
          </li>
        ))}
      </ul>
    </DetailPanel>
  )
}
