import { Pause, Play, Plus, Settings2, Trash2 } from 'lucide-react'
import { useMemo, useRef, useState } from 'react'
import { Link } from 'wouter'
import { address, useAddress, useGo } from '../address'
import { resumeQueue } from '../api/queue'
import type { JobState, QueueDetail } from '../api/types'
import { ChangeButton } from '../components/change-button'
import { Chart } from '../components/chart'
import { Empty, Facts } from '../components/panel'
import { tell } from '../components/toast'
import { foldFields, useTopic } from '../feed/react'
import { bytes, compact, exact, rate } from '../format/number'
import { span } from '../format/time'
import { problemOf } from '../http/client'
import { DropQueue, PauseQueue, PurgeQueue, PushJobDialog, QueueConfig } from './queue-dialogs'
import { QueueJobs } from './queue-jobs'

const states: { id: JobState; title: string; hint: string }[] = [
  { id: 'ready', title: 'Ready', hint: 'waiting for a worker' },
  { id: 'delayed', title: 'Delayed', hint: 'due later' },
  { id: 'inflight', title: 'In flight', hint: 'leased to workers' },
  { id: 'dead', title: 'Dead', hint: 'failed for good' },
]

type Open = 'push' | 'pause' | 'config' | 'purge' | 'drop' | null

export function QueuePage() {
  const { get } = useAddress()
  const name = get('name') ?? ''
  const state = states.find((each) => each.id === get('state'))?.id ?? 'ready'
  const { data: queue, problem } = useTopic<QueueDetail>('queue', { name }, foldFields)
  if (problem) {
    return (
      <Empty title={problem}>
        It may have been dropped. <Link href="/queues">All queues</Link>
      </Empty>
    )
  }
  return (
    <>
      <QueueHead name={name} queue={queue} />
      <div className="page-body">
        <nav className="states live" aria-label="Jobs by state">
          {states.map(({ id, title, hint }) => (
            <Link
              key={id}
              className="state"
              href={address('/queue', { name, state: id, match: get('match') })}
              aria-current={id === state ? 'page' : undefined}
            >
              <span>{title}</span>
              <b className={id === 'dead' && (queue?.dead ?? 0) > 0 ? 'bad' : undefined}>
                {queue ? compact(queue[id]) : '–'}
              </b>
              <small className="clip">
                {id === 'ready' && queue && queue.oldestMs > 0 ? `oldest ${span(queue.oldestMs)}` : hint}
              </small>
            </Link>
          ))}
        </nav>
        {queue ? <QueueTop queue={queue} /> : <div className="queue-top" />}
        <QueueJobs key={`${name}/${state}`} queue={name} state={state} deadCount={queue?.dead ?? 0} />
      </div>
    </>
  )
}

function QueueHead({ name, queue }: { name: string; queue: QueueDetail | null }) {
  const go = useGo()
  const [open, setOpen] = useState<Open>(null)
  const close = () => setOpen(null)
  const paused = queue && queue.paused !== 'none'
  const resume = () =>
    resumeQueue(name).then(
      () => tell(`Resumed ${name}`),
      (error) => tell(problemOf(error), 'bad'),
    )
  const words = { none: '', in: 'takes no jobs', out: 'gives no jobs', all: 'takes and gives no jobs' }
  return (
    <header className="page-head">
      <Link className="crumb" href="/queues">
        Queues
      </Link>
      <h1>{name}</h1>
      {paused && <span className="pill warn">paused: {words[queue.paused]}</span>}
      <div className="actions">
        <ChangeButton className="primary" onClick={() => setOpen('push')}>
          <Plus aria-hidden /> Push a job
        </ChangeButton>
        {paused ? (
          <ChangeButton onClick={resume}>
            <Play aria-hidden /> Resume
          </ChangeButton>
        ) : (
          <ChangeButton onClick={() => setOpen('pause')}>
            <Pause aria-hidden /> Pause
          </ChangeButton>
        )}
        <button type="button" className="button" disabled={!queue} onClick={() => setOpen('config')}>
          <Settings2 aria-hidden /> Config
        </button>
        <ChangeButton onClick={() => setOpen('purge')}>Purge</ChangeButton>
        <ChangeButton className="danger icon" label="Drop the queue" onClick={() => setOpen('drop')}>
          <Trash2 aria-hidden />
        </ChangeButton>
      </div>
      {open === 'push' && <PushJobDialog name={name} onClose={close} />}
      {open === 'pause' && <PauseQueue name={name} onClose={close} />}
      {open === 'config' && queue && <QueueConfig queue={queue} onClose={close} />}
      {open === 'purge' && <PurgeQueue name={name} queue={queue} onClose={close} />}
      {open === 'drop' && <DropQueue name={name} onClose={close} onDone={() => go('/queues')} />}
    </header>
  )
}

/** The counters that say how a queue fares. */
const telling = ['pushed', 'acked', 'failed', 'dead']

function titled(name: string): string {
  return `${name.charAt(0).toUpperCase()}${name.slice(1)} in all`
}

/** Five minutes of this queue, gathered while the page is open. */
const kept = 300

function QueueTop({ queue }: { queue: QueueDetail }) {
  const { times, series } = useRates(queue)
  return (
    <div className="queue-top live">
      <section className="panel" aria-label="Rates">
        <Chart
          label={`Jobs per second of ${queue.name}`}
          times={times}
          series={series}
          format={rate}
          height={112}
          seconds={kept}
        />
      </section>
      <section className="panel" aria-label="Facts">
        <Facts
          items={[
            [
              'Size',
              `${bytes(queue.bytes)} in ${exact(queue.ready + queue.delayed + queue.inflight + queue.dead)} jobs`,
            ],
            ['Waiting workers', exact(queue.waiters)],
            ...telling.map((name): [string, string] => [titled(name), exact(queue.counters[name] ?? 0)]),
          ]}
        />
      </section>
    </div>
  )
}

interface Sample {
  at: number
  pushed: number
  acked: number
  failed: number
}

/** The feed brings a queue's rates only when they change, so the chart samples them once a second itself. */
function useRates(queue: QueueDetail) {
  const samples = useRef<{ name: string; list: Sample[] }>({ name: queue.name, list: [] })
  if (samples.current.name !== queue.name) samples.current = { name: queue.name, list: [] }
  const at = Math.floor(Date.now() / 1000)
  const list = samples.current.list
  const before = list[list.length - 1]
  if (!before || before.at < at) {
    samples.current.list = [
      ...list,
      { at, pushed: queue.pushRate, acked: queue.ackRate, failed: queue.failRate },
    ].slice(-kept)
  }
  const current = samples.current.list
  return useMemo(
    () => ({
      times: current.map((sample) => sample.at),
      series: [
        { label: 'Pushed/s', tone: 'queue', values: current.map((sample) => sample.pushed), fill: true },
        { label: 'Acked/s', tone: 'ink-3', values: current.map((sample) => sample.acked), dash: true },
        { label: 'Failed/s', tone: 'bad', values: current.map((sample) => sample.failed) },
      ],
    }),
    [current],
  )
}
