import type { ReactNode } from 'react'
import { useSession } from '../session'

interface Props {
  children: ReactNode
  onClick: () => void
  className?: string
  disabled?: boolean
  label?: string
}

/** A button that leads to a change: on a read-only dashboard it is off, and says why. The server refuses as well. */
export function ChangeButton({ children, onClick, className = '', disabled = false, label }: Props) {
  const { readOnly } = useSession()
  return (
    <button
      type="button"
      className={`button ${className}`}
      disabled={disabled || readOnly}
      title={readOnly ? 'This dashboard is read-only' : label}
      aria-label={label}
      onClick={onClick}
    >
      {children}
    </button>
  )
}
