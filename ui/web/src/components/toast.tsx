import { X } from 'lucide-react'
import { useSyncExternalStore } from 'react'

interface Toast {
  id: number
  text: string
  tone: 'good' | 'bad'
}

let toasts: Toast[] = []
let lastId = 0
const listeners = new Set<() => void>()

function change(next: Toast[]) {
  toasts = next
  for (const listener of listeners) listener()
}

function dismiss(id: number) {
  change(toasts.filter((toast) => toast.id !== id))
}

/** Says what was done. Failures stay until they are dismissed. */
export function tell(text: string, tone: Toast['tone'] = 'good') {
  const id = ++lastId
  change([...toasts.slice(-3), { id, text, tone }])
  if (tone === 'good') setTimeout(() => dismiss(id), 4000)
}

export function Toasts() {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    () => toasts,
  )
  return (
    <div className="toasts" role="status" aria-live="polite">
      {shown.map((toast) => (
        <div key={toast.id} className="toast" data-tone={toast.tone}>
          <span>{toast.text}</span>
          <button type="button" aria-label="Dismiss" onClick={() => dismiss(toast.id)}>
            <X size={14} aria-hidden />
          </button>
        </div>
      ))}
    </div>
  )
}
