import { X } from 'lucide-react'
import type { ReactNode } from 'react'
import { Panel } from './panel'

interface Props {
  label: string
  title: ReactNode
  /** What the button that closes it closes: "the job". */
  what: string
  actions?: ReactNode
  onClose: () => void
  children: ReactNode
}

/** The panel beside a list, with what was opened in the list. */
export function DetailPanel({ label, title, what, actions, onClose, children }: Props) {
  return (
    <Panel
      label={label}
      title={<h2 className="grow">{title}</h2>}
      actions={
        <>
          {actions}
          <button type="button" className="button small quiet icon" aria-label={`Close ${what}`} onClick={onClose}>
            <X aria-hidden />
          </button>
        </>
      }
    >
      <div className="panel-body stack">{children}</div>
    </Panel>
  )
}
