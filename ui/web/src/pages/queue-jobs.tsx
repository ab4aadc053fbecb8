import { useQueryClient } from '@tanstack/react-query'
import { RotateCcw, Trash2, X } from 'lucide-react'
import { useCallback, useRef, useState } from 'react'
import { useAddress } from '../address'
import { actOnJobs, fetchJobs, type JobAction, searchJobs } from '../api/queue'
import type { Job, JobState } from '../api/types'
import { ChangeButton } from '../components/change-button'
import { Confirm } from '../components/dialog'
import { Empty, Panel } from '../components/panel'
import { PayloadPreview } from '../components/payload-preview'
import { ScanFoot } from '../components/scan-foot'
import { SearchField } from '../components/search-field'
import { tell } from '../components/toast'
import { type Column, VirtualTable } from '../components/virtual-table'
import { useFeedState } from '../feed/react'
import { useNow } from '../feed/status'
import { counted, exact } from '../format/number'
import { relative } from '../format/time'
import { problemOf } from '../http/client'
import { useEscape } from '../keys'
import { useSearch } from '../queries/search'
import { useWindowed } from '../queries/window'
import { useSession } from '../session'
import { BulkDialog } from './bulk-dialog'
import { JobDetail } from './job-detail'

interface Props {
  queue: string
  state: JobState
  deadCount: number
}

export function QueueJobs({ queue, state, deadCount }: Props) {
  const { get, set } = useAddress()
  const { hidePayloads } = useSession()
  const match = hidePayloads ? '' : (get('match') ?? '') // what is hidden cannot be searched
  const reason = get('reason') ?? ''
  const searching = match !== '' || reason !== ''
  const open = get('job')
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set())
  const [deleting, setDeleting] = useState(false)
  const [bulk, setBulk] = useState<JobAction | null>(null)
  const now = useNow()
  const live = useFeedState().phase === 'live'
  const queries = useQueryClient()
  const list = useWindowed<Job>({
    key: ['jobs', queue, state],
    fetch: (offset, count, signal) => fetchJobs(queue, state, offset, count, signal),
    live: live && !searching && chosen.size === 0, // what is chosen stays where it is
  })
  const found = useSearch<Job>({
    key: ['job-search', queue, state, match, reason],
    fetch: (cursor, signal) => searchJobs(queue, state, { match, reason }, cursor, signal),
    enabled: searching,
  })
  const total = searching ? found.rows.length : list.total
  const close = useCallback(() => set({ job: null }), [set])
  useEscape(open !== null, close)

  const act = async (action: JobAction, ids: string[]) => {
    try {
      const { count } = await actOnJobs(queue, action, ids)
      tell(`${action === 'replay' ? 'Replayed' : 'Deleted'} ${counted(count, 'job')}`)
      setChosen(new Set())
      if (open && ids.includes(open)) close()
      await queries.invalidateQueries({ queryKey: ['jobs', queue] })
      await queries.invalidateQueries({ queryKey: ['job-search', queue] })
    } catch (error) {
      tell(problemOf(error), 'bad')
    }
  }
  const row = (index: number) => (searching ? found.rows[index] : list.row(index))
  const last = useRef<number | null>(null)
  /** One job, or with shift all from the last one on; what is not loaded is not chosen. */
  const choose = (index: number, range: boolean) => {
    const from = range && last.current !== null ? last.current : index
    const id = row(index)?.id
    last.current = index
    setChosen((before) => {
      const next = new Set(before)
      if (id !== undefined && next.has(id)) {
        if (from === index) next.delete(id)
        return next
      }
      for (let at = Math.min(from, index); at <= Math.max(from, index); at++) {
        const job = row(at)
        if (job) next.add(job.id)
      }
      return next
    })
  }
  const problem = searching ? found.problem : list.problem
  const nothing = searching && found.more === null && !found.busy && found.rows.length === 0
  const columns = jobColumns(state, now, chosen, choose)
  return (
    <div className="split" data-open={open !== null}>
      <Panel
        label="Jobs"
        title={
          <>
            {hidePayloads ? (
              <SearchField label="Search in reasons" name="reason" />
            ) : (
              <SearchField label="Search in payloads and reasons" name="match" />
            )}
            {reason !== '' && !hidePayloads && (
              <span className="pill chip">
                <span className="clip">reason: {reason}</span>
                <button type="button" aria-label="Any reason" onClick={() => set({ reason: null })}>
                  <X aria-hidden />
                </button>
              </span>
            )}
          </>
        }
        actions={
          <div className="row wrap">
            {chosen.size > 0 ? (
              <>
                <span className="muted">{exact(chosen.size)} chosen</span>
                {state === 'dead' && (
                  <ChangeButton className="small" onClick={() => act('replay', [...chosen])}>
                    <RotateCcw aria-hidden /> Replay
                  </ChangeButton>
                )}
                <ChangeButton className="small danger" onClick={() => setDeleting(true)}>
                  <Trash2 aria-hidden /> Delete
                </ChangeButton>
                <button
                  type="button"
                  className="button small quiet icon"
                  aria-label="Choose none"
                  onClick={() => setChosen(new Set())}
                >
                  <X aria-hidden />
                </button>
              </>
            ) : (
              (searching || (state === 'dead' && deadCount > 0)) && (
                <>
                  {state === 'dead' && (
                    <ChangeButton className="small" disabled={nothing} onClick={() => setBulk('replay')}>
                      <RotateCcw aria-hidden /> Replay all{searching ? ' matching' : ''}
                    </ChangeButton>
                  )}
                  <ChangeButton className="small danger" disabled={nothing} onClick={() => setBulk('delete')}>
                    <Trash2 aria-hidden /> Delete all{searching ? ' matching' : ''}
                  </ChangeButton>
                </>
              )
            )}
          </div>
        }
        foot={
          searching ? (
            <ScanFoot search={found} noun="job" />
          ) : total === null ? (
            'Loading'
          ) : (
            `${counted(total, 'job')}${chosen.size > 0 ? ', held still while some are chosen' : ''}`
          )
        }
      >
        <VirtualTable
          label={`Jobs of ${queue}, ${state}`}
          columns={columns}
          minWidth={480}
          count={total ?? 0}
          row={row}
          rowKey={(row) => row.id}
          selected={open}
          onOpen={(row) => set({ job: row.id })}
          {...(searching ? {} : { onWindow: list.onWindow })}
          problem={problem}
          empty={<NoJobs state={state} match={match || reason} waiting={total === null || found.busy} />}
        />
      </Panel>
      {open !== null && (
        <JobDetail
          key={open}
          queue={queue}
          id={open}
          onClose={close}
          onAct={act}
          onReason={(text) => set({ reason: text, job: null })}
        />
      )}
      {deleting && (
        <Confirm
          title={`Delete ${counted(chosen.size, 'job')}`}
          action="Delete"
          onConfirm={() => act('delete', [...chosen])}
          onClose={() => setDeleting(false)}
        >
          <p>The chosen jobs of {queue} are gone then. This cannot be undone.</p>
        </Confirm>
      )}
      {bulk && <BulkDialog bulk={{ queue, state, action: bulk, match, reason }} onClose={() => setBulk(null)} />}
    </div>
  )
}

function jobColumns(
  state: JobState,
  now: number,
  chosen: ReadonlySet<string>,
  choose: (index: number, range: boolean) => void,
): Column<Job>[] {
  const time: Record<JobState, { title: string; at: (job: Job) => number }> = {
    ready: { title: 'Pushed', at: (job) => job.pushedAt },
    delayed: { title: 'Due', at: (job) => job.dueAt },
    inflight: { title: 'Lease ends', at: (job) => job.leaseUntil },
    dead: { title: 'Failed', at: (job) => job.failedAt },
  }
  const { title, at } = time[state]
  return [
    {
      id: 'choose',
      title: <span className="hidden">Chosen</span>,
      width: '16px',
      cell: (job, index) => (
        <input
          type="checkbox"
          aria-label={`Choose job ${job.id}`}
          title="With shift: all from the last one on"
          checked={chosen.has(job.id)}
          onChange={(event) => choose(index, (event.nativeEvent as MouseEvent).shiftKey)}
        />
      ),
    },
    { id: 'id', title: 'Id', width: 'minmax(52px, 90px)', cell: (job) => <span className="number">{job.id}</span> },
    {
      id: 'payload',
      title: 'Payload',
      width: 'minmax(100px, 3fr)',
      cell: (job) => <PayloadPreview payload={job.payload} />,
    },
    ...(state === 'dead'
      ? [{ id: 'reason', title: 'Reason', width: 'minmax(90px, 1.4fr)', cell: (job: Job) => job.reason || '–' }]
      : []),
    { id: 'priority', title: 'Prio', width: '30px', end: true, cell: (job) => job.priority },
    { id: 'attempts', title: 'Tries', width: '40px', end: true, cell: (job) => `${job.attempts}/${job.maxAttempts}` },
    { id: 'time', title, width: '84px', end: true, cell: (job) => (at(job) > 0 ? relative(at(job), now) : '–') },
  ]
}

function NoJobs({ state, match, waiting }: { state: JobState; match: string; waiting: boolean }) {
  if (waiting) return <Empty title={match ? 'Searching' : 'Loading'} />
  if (match) return <Empty title={`No job here has "${match}" in it`}>Other states have their own search.</Empty>
  const words: Record<JobState, [string, string]> = {
    ready: ['Nothing waits', 'Every job is with a worker, due later, or done.'],
    delayed: ['Nothing is due later', 'Jobs pushed with a delay and failed jobs that back off wait here.'],
    inflight: ['No worker holds a job', 'A job is here from its pop until its ack, or until its lease ends.'],
    dead: ['No dead letters', 'A job comes here with its reason when its last attempt has failed.'],
  }
  const [title, text] = words[state]
  return <Empty title={title}>{text}</Empty>
}
