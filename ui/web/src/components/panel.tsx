import type { ReactNode } from 'react'
import { useHint } from '../hints'

interface PanelProps {
  title?: ReactNode
  actions?: ReactNode
  foot?: ReactNode
  label?: string
  children: ReactNode
  className?: string
}

export function Panel({ title, actions, foot, label, children, className }: PanelProps) {
  return (
    <section className={className ? `panel ${className}` : 'panel'} aria-label={label}>
      {(title || actions) && (
        <header className="panel-head">
          {typeof title === 'string' ? <h2 className="grow">{title}</h2> : title}
          {actions}
        </header>
      )}
      {children}
      {foot && <footer className="panel-foot">{foot}</footer>}
    </section>
  )
}

export interface FigureItem {
  label: string
  value: ReactNode
  unit?: string
  tone?: string | undefined
}

/** Labelled numbers in a row. */
export function Figures({ items, small }: { items: FigureItem[]; small?: boolean }) {
  return (
    <dl className={small ? 'figures small live' : 'figures live'}>
      {items.map((item) => (
        <div className="figure" key={item.label}>
          <dt>{item.label}</dt>
          <dd className={item.tone}>
            {item.value}
            {item.unit && <small>{item.unit}</small>}
          </dd>
        </div>
      ))}
    </dl>
  )
}

/** Names and values below each other. */
export function Facts({ items }: { items: [string, ReactNode][] }) {
  return (
    <dl className="facts">
      {items.map(([name, value]) => (
        <div key={name} style={{ display: 'contents' }}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

interface EmptyProps {
  title: string
  children?: ReactNode
  /** A command that would change the emptiness. */
  command?: string
}

/** Nothing to show: says why, and what to do about it. */
export function Empty({ title, children, command }: EmptyProps) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {command && <Hint command={command} />}
    </div>
  )
}

function Hint({ command }: { command: string }) {
  return <pre>{useHint(command)}</pre>
}
