import { useQuery } from '@tanstack/react-query'
import { RotateCcw, Search, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { fetchJob, type JobAction } from '../api/queue'
import type { Job } from '../api/types'
import { ChangeButton } from '../components/change-button'
import { DetailPanel } from '../components/detail-panel'
import { Confirm } from '../components/dialog'
import { Empty, Facts } from '../components/panel'
import { PayloadView } from '../components/payload-view'
import { useNow } from '../feed/status'
import { moment, relative } from '../format/time'
import { HttpProblem, problemOf } from '../http/client'

interface Props {
  queue: string
  id: string
  onClose: () => void
  onAct: (action: JobAction, ids: string[]) => Promise<void>
  /** Shows all jobs with a reason. */
  onReason: (reason: string) => void
}

export function JobDetail({ queue, id, onClose, onAct, onReason }: Props) {
  const [deleting, setDeleting] = useState(false)
  const { data: job, error } = useQuery({
    queryKey: ['job', queue, id],
    queryFn: () => fetchJob(queue, id, false),
    refetchInterval: ({ state }) => (state.error instanceof HttpProblem ? false : 2000), // what is gone stays gone
  })
  return (
    <DetailPanel
      label={`Job ${id}`}
      title={`Job ${id}`}
      what="the job"
      onClose={onClose}
      actions={
        <>
          {job?.state === 'dead' && (
            <ChangeButton className="small" onClick={() => onAct('replay', [id])}>
              <RotateCcw aria-hidden /> Replay
            </ChangeButton>
          )}
          <ChangeButton className="small danger" onClick={() => setDeleting(true)} disabled={!job}>
            <Trash2 aria-hidden /> Delete
          </ChangeButton>
        </>
      }
    >
      {deleting && (
        <Confirm
          title={`Delete job ${id}`}
          action="Delete"
          onConfirm={() => onAct('delete', [id])}
          onClose={() => setDeleting(false)}
        >
          <p>It is gone then. This cannot be undone.</p>
        </Confirm>
      )}
      {error && <Empty title={problemOf(error)}>It was acknowledged, deleted, or has expired.</Empty>}
      {job && !error && (
        <>
          {job.reason && (
            <div className="reason">
              <p className="problem">{job.reason}</p>
              <button type="button" className="button small" onClick={() => onReason(job.reason)}>
                <Search aria-hidden /> All with this reason
              </button>
            </div>
          )}
          <PayloadView
            payload={job.payload}
            loadAll={async () => (await fetchJob(queue, id, true)).payload}
            fileName={`${queue}-${id}`}
          />
          <JobFacts job={job} />
        </>
      )}
    </DetailPanel>
  )
}

const stateWords = { ready: 'ready', delayed: 'delayed', inflight: 'in flight', dead: 'dead' }

function JobFacts({ job }: { job: Job }) {
  const now = useNow()
  const time = (at: number) => (
    <>
      {relative(at, now)} <span className="muted">{moment(at)}</span>
    </>
  )
  const facts: [string, React.ReactNode][] = [
    ['State', stateWords[job.state]],
    ['Attempts', `${job.attempts} of ${job.maxAttempts}`],
    ['Deliveries', job.deliveries],
    ['Priority', job.priority],
  ]
  if (job.pushedAt > 0) facts.push(['Pushed', time(job.pushedAt)])
  if (job.dueAt > 0 && job.state === 'delayed') facts.push(['Due', time(job.dueAt)])
  if (job.leaseUntil > 0) facts.push(['Lease ends', time(job.leaseUntil)])
  if (job.failedAt > 0) facts.push(['Failed', time(job.failedAt)])
  if (job.expiresAt > 0) facts.push(['Expires', time(job.expiresAt)])
  if (job.dedup) facts.push(['Dedup key', <code key="dedup">{job.dedup}</code>])
  return <Facts items={facts} />
}
