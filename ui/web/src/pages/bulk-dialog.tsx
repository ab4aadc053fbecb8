import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { type BulkOfJobs, countBulk, startBulk } from '../api/queue'
import { Confirm } from '../components/dialog'
import { counted } from '../format/number'
import { problemOf } from '../http/client'
import { TaskProgress } from './task-progress'

/** One change to every job that matches: counted first, then done by the server, with progress and a way to stop it. */
export function BulkDialog({ bulk, onClose }: { bulk: BulkOfJobs; onClose: () => void }) {
  const [task, setTask] = useState<string | null>(null)
  const count = useQuery({ queryKey: ['bulk', bulk], queryFn: () => countBulk(bulk), gcTime: 0 })
  const queries = useQueryClient()
  const replays = bulk.action === 'replay'
  if (task) {
    return (
      <TaskProgress
        id={task}
        title={replays ? 'Replaying' : 'Deleting'}
        says={(done) => `${replays ? 'Replayed' : 'Deleted'} ${counted(done, 'job')}`}
        onEnd={() => {
          void queries.invalidateQueries({ queryKey: ['jobs', bulk.queue] })
          void queries.invalidateQueries({ queryKey: ['job-search', bulk.queue] })
        }}
        onClose={onClose}
      />
    )
  }
  const verb = replays ? 'Replay' : 'Delete'
  const about = [
    bulk.match && `with "${bulk.match}" in payload or reason`,
    bulk.reason && `with "${bulk.reason}" in the reason`,
  ]
    .filter(Boolean)
    .join(' and ')
  return (
    <Confirm
      title={`${verb} all ${bulk.state} jobs ${about && 'that match'}`}
      action={verb}
      disabled={!count.data || count.data.count === 0}
      {...(bulk.action === 'delete' ? { typed: bulk.queue } : {})}
      onConfirm={async () => {
        setTask((await startBulk(bulk)).task)
        return 'stay'
      }}
      onClose={onClose}
    >
      {count.isPending && <p>Counting the jobs</p>}
      {count.error && <p className="problem">{problemOf(count.error)}</p>}
      {count.data && (
        <p>
          {counted(count.data.count, 'job')} {about} in <b>{bulk.queue}</b>.{' '}
          {replays ? 'They become ready again with no attempts counted.' : 'This cannot be undone.'}
        </p>
      )}
    </Confirm>
  )
}
