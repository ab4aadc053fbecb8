import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { type BulkOfJobs, cancelTask, countBulk, fetchTask, startBulk } from '../api/queue'
import { Confirm, Dialog } from '../components/dialog'
import { tell } from '../components/toast'
import { counted, exact } from '../format/number'
import { problemOf } from '../http/client'

/** One change to every job that matches: counted first, then done by the server, with progress and a way to stop it. */
export function BulkDialog({ bulk, onClose }: { bulk: BulkOfJobs; onClose: () => void }) {
  const [task, setTask] = useState<string | null>(null)
  const count = useQuery({ queryKey: ['bulk', bulk], queryFn: () => countBulk(bulk), gcTime: 0 })
  if (task) return <Progress id={task} bulk={bulk} onClose={onClose} />
  const verb = bulk.action === 'replay' ? 'Replay' : 'Delete'
  const about = bulk.match ? `with "${bulk.match}" in payload or reason` : ''
  return (
    <Confirm
      title={`${verb} all ${bulk.state} jobs ${bulk.match ? 'that match' : ''}`}
      action={verb}
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
          {bulk.action === 'replay' ? 'They become ready again with no attempts counted.' : 'This cannot be undone.'}
        </p>
      )}
    </Confirm>
  )
}

function Progress({ id, bulk, onClose }: { id: string; bulk: BulkOfJobs; onClose: () => void }) {
  const queries = useQueryClient()
  const { data: task, error } = useQuery({
    queryKey: ['task', id],
    queryFn: () => fetchTask(id),
    refetchInterval: (query) => (query.state.data?.finished ? false : 300),
  })
  const finished = task?.finished ?? false
  useEffect(() => {
    if (!finished || !task) return
    const verb = bulk.action === 'replay' ? 'Replayed' : 'Deleted'
    if (task.error) tell(task.error, 'bad')
    else tell(`${verb} ${counted(task.done, 'job')}${task.cancelled ? ', then stopped' : ''}`)
    void queries.invalidateQueries({ queryKey: ['jobs', bulk.queue] })
    void queries.invalidateQueries({ queryKey: ['job-search', bulk.queue] })
    onClose()
  }, [finished, task, bulk, queries, onClose])
  return (
    <Dialog title={bulk.action === 'replay' ? 'Replaying' : 'Deleting'} onClose={onClose}>
      <div className="dialog-body">
        {error && <p className="problem">{problemOf(error)}</p>}
        <p role="status" className="number">
          {task ? `${exact(task.done)} of ${exact(task.total)}` : 'Starting'}
        </p>
        <div className="meter">
          <span style={{ width: `${task && task.total > 0 ? (task.done / task.total) * 100 : 0}%` }} />
        </div>
        <footer>
          <button type="button" className="button" onClick={onClose}>
            Go on in the background
          </button>
          <button type="button" className="button danger" onClick={() => cancelTask(id)}>
            Stop
          </button>
        </footer>
      </div>
    </Dialog>
  )
}
