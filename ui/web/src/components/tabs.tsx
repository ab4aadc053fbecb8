import type { CSSProperties } from 'react'
import { Link } from 'wouter'
import { exact } from '../format/number'

interface Tab {
  id: string
  title: string
  href: string
  count?: number | undefined
}

/** Views of one thing, each with an address. */
export function Tabs({ label, tabs, current, tone }: { label: string; tabs: Tab[]; current: string; tone: string }) {
  return (
    <nav className="tabs" aria-label={label} style={{ '--tone': `var(--${tone})` } as CSSProperties}>
      {tabs.map((tab) => (
        <Link key={tab.id} className="tab" href={tab.href} aria-current={tab.id === current ? 'page' : undefined}>
          {tab.title}
          {tab.count !== undefined && <span className="muted number">{exact(tab.count)}</span>}
        </Link>
      ))}
    </nav>
  )
}
