import {
  Activity,
  Boxes,
  Cable,
  KeyRound,
  Layers,
  MonitorCog,
  Moon,
  Radio,
  SquareTerminal,
  SunMedium,
  SunMoon,
  Timer,
} from 'lucide-react'
import { type ComponentType, type CSSProperties, type ReactNode, useCallback, useEffect, useRef, useState } from 'react'
import { Link, useLocation, useSearchParams } from 'wouter'
import { Dialog } from './components/dialog'
import { PageBoundary } from './components/page-boundary'
import { Toasts } from './components/toast'
import { useFeedState } from './feed/react'
import { FeedBanner, FeedPulse } from './feed/status'
import { basePath } from './http/client'
import { shortcuts, usePageKeys } from './keys'
import { chooseTheme, type ThemeChoice, useThemeChoice } from './theme'

interface Place {
  path: string
  also?: string
  title: string
  icon: ComponentType<{ 'aria-hidden'?: boolean }>
  tone?: string
}

const brokers: Place[] = [
  { path: '/', title: 'Overview', icon: Activity },
  { path: '/store', title: 'Store', icon: KeyRound, tone: 'store' },
  { path: '/pubsub', title: 'Pub/Sub', icon: Radio, tone: 'pubsub' },
  { path: '/queues', also: '/queue', title: 'Queues', icon: Layers, tone: 'queue' },
  { path: '/streams', also: '/stream', title: 'Streams', icon: Boxes, tone: 'stream' },
]

const server: Place[] = [
  { path: '/clients', title: 'Clients', icon: Cable },
  { path: '/slowlog', title: 'Slow log', icon: Timer },
  { path: '/server', title: 'Server', icon: MonitorCog },
  { path: '/console', title: 'Console', icon: SquareTerminal },
]

export function Shell({ children }: { children: ReactNode }) {
  const [help, setHelp] = useState(false)
  const [location, navigate] = useLocation()
  usePageKeys(
    navigate,
    useCallback(() => setHelp(true), []),
  )
  const { phase } = useFeedState()
  useTitle(location)
  const rail = useRef<HTMLElement>(null)
  // biome-ignore lint/correctness/useExhaustiveDependencies: on a phone the rail scrolls, and the present page must be in sight
  useEffect(() => {
    rail.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' })
  }, [location])
  return (
    <div className="shell">
      <a className="skip" href="#page">
        Skip to the page
      </a>
      <FeedBanner />
      <nav ref={rail} className="rail" aria-label="Pages">
        <Link className="brand" href="/">
          <img src={`${basePath}/icon.svg`} alt="" />
          Nexo
        </Link>
        <Places places={brokers} />
        <p className="rail-title">Server</p>
        <Places places={server} />
        <div className="rail-foot">
          <FeedPulse />
          <div className="row">
            <ThemeButton />
            <button type="button" className="button quiet small wide" onClick={() => setHelp(true)}>
              Keys <kbd>?</kbd>
            </button>
          </div>
        </div>
      </nav>
      <main className="page" id="page" tabIndex={-1} data-stale={phase === 'stale'}>
        <PageBoundary key={location}>{children}</PageBoundary>
      </main>
      {help && <Help onClose={() => setHelp(false)} />}
      <Toasts />
    </div>
  )
}

/** Ten tabs are told apart by their titles: the page, and what it shows. */
function useTitle(location: string) {
  const [params] = useSearchParams()
  const place = [...brokers, ...server].find(({ path, also }) => location === path || location === also)
  const name = params.get('name') ?? params.get('key') ?? params.get('topic')
  const title = [name, place?.title, 'Nexo'].filter(Boolean).join(' · ')
  useEffect(() => {
    document.title = title
  }, [title])
}

function Places({ places }: { places: Place[] }) {
  const [location] = useLocation()
  return (
    <ul>
      {places.map(({ path, also, title, icon: Icon, tone }) => (
        <li key={path} style={tone ? ({ '--tone': `var(--${tone})` } as CSSProperties) : undefined}>
          <Link
            className="rail-link"
            href={path}
            aria-current={location === path || location === also ? 'page' : undefined}
          >
            <Icon aria-hidden />
            {title}
          </Link>
        </li>
      ))}
    </ul>
  )
}

const themes: Record<ThemeChoice, { next: ThemeChoice; icon: ComponentType<{ 'aria-hidden'?: boolean }> }> = {
  system: { next: 'light', icon: SunMoon },
  light: { next: 'dark', icon: SunMedium },
  dark: { next: 'system', icon: Moon },
}

function ThemeButton() {
  const choice = useThemeChoice()
  const { next, icon: Icon } = themes[choice]
  return (
    <button
      type="button"
      className="button quiet small icon"
      aria-label={`Colours: ${choice}. Change to ${next}`}
      title={`Colours: ${choice}`}
      onClick={() => chooseTheme(next)}
    >
      <Icon aria-hidden />
    </button>
  )
}

function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keys" onClose={onClose}>
      <div className="dialog-body">
        <dl className="facts">
          {shortcuts.map(({ keys, does }) => (
            <div key={keys} style={{ display: 'contents' }}>
              <dt>
                {keys.split(/\s+/).map((key) => (
                  <kbd key={key} style={{ marginRight: 4 }}>
                    {key}
                  </kbd>
                ))}
              </dt>
              <dd>{does}</dd>
            </div>
          ))}
        </dl>
      </div>
    </Dialog>
  )
}
