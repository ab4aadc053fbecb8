import { ChevronRight } from 'lucide-react'
import { type CSSProperties, type ReactNode, useMemo } from 'react'
import { Link } from 'wouter'
import { address } from '../address'
import type { Point, Queue, Stream } from '../api/types'
import { Chart, type Series } from '../components/chart'
import { Empty, type FigureItem, Figures, Panel } from '../components/panel'
import { foldRows, type Rows, useTopic } from '../feed/react'
import { usePoints } from '../feed/stats'
import { bytes, compact, counted, percent, rate } from '../format/number'
import { micros, span } from '../format/time'

/** What needs eyes comes from the worst queues and streams; more than this is a page of its own. */
const worst = 30

export function OverviewPage() {
  const points = usePoints()
  const now = points[points.length - 1]
  return (
    <>
      <header className="page-head">
        <h1>Overview</h1>
        {now && <ServerLine point={now} />}
      </header>
      <div className="page-body">
        {now ? <Brokers points={points} now={now} /> : <div className="skeletons" aria-busy="true" />}
        <Attention />
      </div>
    </>
  )
}

function ServerLine({ point }: { point: Point }) {
  return (
    <p className="server-line live number">
      <span>
        <b>{rate(point.ops)}</b> commands/s
      </span>
      <span>
        <b>{compact(point.clients)}</b> clients
      </span>
      <span>
        <b>{bytes(point.memory)}</b> memory
      </span>
      {point.disk > 0 && (
        <span>
          <b>{bytes(point.disk)}</b> on disk
        </span>
      )}
      <span title="99 of 100 fsyncs of the journals took at most this long">
        <b>{point.fsyncP99 > 0 ? micros(point.fsyncP99) : '–'}</b> fsync p99
      </span>
    </p>
  )
}

function Brokers({ points, now }: { points: Point[]; now: Point }) {
  const seconds = useMemo(() => withGaps(points), [points])
  const times = useMemo(() => seconds.map(({ at }) => at / 1000), [seconds])
  const lines = useMemo(() => {
    const line = (label: string, tone: string, pick: (point: Point) => number, more: Partial<Series> = {}): Series => ({
      label,
      tone,
      values: seconds.map(({ point }) => (point ? pick(point) : null)),
      ...more,
    })
    return {
      store: [line('Commands', 'store', (point) => point.store.ops, { fill: true })],
      pubsub: [
        line('Published', 'pubsub', (point) => point.pubsub.in, { fill: true }),
        line('Delivered', 'ink-3', (point) => point.pubsub.out, { dash: true }),
      ],
      queue: [
        line('Pushed', 'queue', (point) => point.queue.pushed, { fill: true }),
        line('Acked', 'ink-3', (point) => point.queue.acked, { dash: true }),
        line('Failed', 'bad', (point) => point.queue.failed),
      ],
      stream: [
        line('Appended', 'stream', (point) => point.stream.appended, { fill: true }),
        line('Read', 'ink-3', (point) => point.stream.read, { dash: true }),
      ],
    }
  }, [seconds])
  const { store, pubsub, queue, stream } = now
  return (
    <div className="brokers">
      <BrokerPanel
        title="Queues"
        tone="queue"
        href="/queues"
        times={times}
        series={lines.queue}
        figures={[
          { label: 'Ready', value: compact(queue.ready) },
          { label: 'In flight', value: compact(queue.inflight) },
          { label: 'Dead', value: compact(queue.dead), tone: queue.dead > 0 ? 'bad' : undefined },
        ]}
      />
      <BrokerPanel
        title="Streams"
        tone="stream"
        href="/streams"
        times={times}
        series={lines.stream}
        figures={[
          { label: 'Streams', value: compact(stream.streams) },
          { label: 'Lag of groups', value: compact(stream.lag) },
        ]}
      />
      <BrokerPanel
        title="Pub/Sub"
        tone="pubsub"
        href="/pubsub"
        times={times}
        series={lines.pubsub}
        figures={[
          { label: 'Subscriptions', value: compact(pubsub.subs) },
          { label: 'Retained', value: compact(pubsub.retained) },
        ]}
      />
      <BrokerPanel
        title="Store"
        tone="store"
        href="/store"
        times={times}
        series={lines.store}
        figures={[
          { label: 'Keys', value: compact(store.keys) },
          { label: 'p99', value: store.p99 > 0 ? micros(store.p99) : '–' },
          {
            label: 'Hits',
            value: store.hits + store.misses > 0 ? percent(store.hits, store.hits + store.misses) : '–',
          },
        ]}
      />
    </div>
  )
}

/**
 * Seconds that nobody watched have no points, and the first one after them no rates, for there is nothing to compare it
 * with: the line breaks there.
 */
const gap = 3000

function withGaps(points: Point[]): { at: number; point: Point | null }[] {
  return points.map((point, index) => {
    const before = points[index - 1]
    return { at: point.at, point: before && point.at - before.at <= gap ? point : null }
  })
}

interface BrokerPanelProps {
  title: string
  tone: string
  href: string
  times: number[]
  series: Series[]
  figures: FigureItem[]
}

function BrokerPanel({ title, tone, href, times, series, figures }: BrokerPanelProps) {
  return (
    <section className="panel broker" style={{ '--tone': `var(--${tone})` } as CSSProperties} aria-label={title}>
      <header className="broker-head">
        <h2>
          <Link href={href}>
            {title} <ChevronRight size={13} aria-hidden />
          </Link>
        </h2>
        <Figures items={figures} small />
      </header>
      <Chart
        label={`${title}, events per second over 15 minutes`}
        times={times}
        series={series}
        format={rate}
        seconds={900}
        group="overview"
      />
    </section>
  )
}

interface Concern {
  key: string
  href: string
  tone: 'bad' | 'warn'
  name: string
  kind: string
  says: ReactNode
}

/** Queues with dead or old jobs and streams with lagging groups, worst first. */
function Attention() {
  const queues = useTopic<Rows<Queue>>(
    'queues',
    { sort: '-dead', from: 0, n: worst },
    foldRows((row) => row.name),
  )
  const streams = useTopic<Rows<Stream>>(
    'streams',
    { sort: '-maxLag', from: 0, n: worst },
    foldRows((row) => row.name),
  )
  const concerns = [
    ...(queues.data?.rows ?? []).flatMap(queueConcerns),
    ...(streams.data?.rows ?? []).flatMap(streamConcerns),
  ]
  const known = queues.data !== null && streams.data !== null
  const things = (queues.data?.total ?? 0) + (streams.data?.total ?? 0)
  return (
    <Panel title="Needs a look" className="attention">
      {concerns.length > 0 && (
        <ul className="concerns live">
          {concerns.map((concern) => (
            <li key={concern.key}>
              <Link href={concern.href}>
                <span className={`pill ${concern.tone}`}>{concern.kind}</span>
                <b className="clip">{concern.name}</b>
                <span className="muted">{concern.says}</span>
              </Link>
            </li>
          ))}
        </ul>
      )}
      {known && concerns.length === 0 && things > 0 && (
        <Empty title="Nothing does">No dead jobs, no paused queue, no group far behind.</Empty>
      )}
      {known && things === 0 && (
        <Empty
          title="No queue and no stream yet"
          command={'redis-cli -p 7654 QPUSH mail hello\nredis-cli -p 7654 XAPPEND orders paid'}
        >
          Push a job or append an entry, and it appears here within a second.
        </Empty>
      )}
    </Panel>
  )
}

function queueConcerns(queue: Queue): Concern[] {
  const { name } = queue
  const concerns: Concern[] = []
  const about = (key: string, tone: Concern['tone'], says: ReactNode, state: string) =>
    concerns.push({
      key: `q/${name}/${key}`,
      href: address('/queue', { name, state }),
      tone,
      name,
      kind: 'queue',
      says,
    })
  if (queue.dead > 0) about('dead', 'bad', `${counted(queue.dead, 'dead job')}`, 'dead')
  if (queue.paused !== 'none') about('paused', 'warn', 'paused', 'ready')
  else if (queue.oldestMs > 60_000) about('old', 'warn', `oldest ready job waits for ${span(queue.oldestMs)}`, 'ready')
  return concerns
}

function streamConcerns(stream: Stream): Concern[] {
  if (stream.maxLag < 1000) return []
  const { name, maxLag } = stream
  const says = `a group is ${counted(maxLag, 'entry', 'entries')} behind`
  return [
    { key: `s/${name}`, href: address('/stream', { name, tab: 'groups' }), tone: 'warn', name, kind: 'stream', says },
  ]
}
