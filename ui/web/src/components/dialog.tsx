import { X } from 'lucide-react'
import { type ReactNode, type SubmitEvent, useEffect, useId, useRef, useState } from 'react'
import { problemOf } from '../http/client'

interface DialogProps {
  title: string
  onClose: () => void
  children: ReactNode
}

/** A modal dialog on the platform's own: it traps the focus, closes on Escape and gives the focus back. */
export function Dialog({ title, onClose, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null)
  const heading = useId()
  useEffect(() => {
    const dialog = element.current
    dialog?.showModal()
    return () => dialog?.close()
  }, [])
  return (
    <dialog
      ref={element}
      className="dialog"
      aria-labelledby={heading}
      onClose={() => element.current?.open || onClose()}
    >
      <header>
        <h2 id={heading}>{title}</h2>
        <button type="button" className="button quiet icon" aria-label="Close" onClick={onClose}>
          <X aria-hidden />
        </button>
      </header>
      {children}
    </dialog>
  )
}

interface FormDialogProps {
  title: string
  /** What the button says: the verb of the action, never "OK". */
  action: string
  danger?: boolean
  disabled?: boolean
  /** Answers 'stay' when the dialog goes on to something else instead of closing. */
  onSubmit: () => Promise<unknown>
  onClose: () => void
  children?: ReactNode
}

/** A dialog around one change: it stays open with the server's words when the change was refused. */
export function FormDialog(props: FormDialogProps) {
  const [problem, setProblem] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    setBusy(true)
    setProblem(null)
    try {
      if ((await props.onSubmit()) !== 'stay') props.onClose()
    } catch (error) {
      setProblem(problemOf(error))
      setBusy(false)
    }
  }
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <form onSubmit={submit}>
        {props.children}
        {problem && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
        <footer>
          <button type="button" className="button" onClick={props.onClose}>
            Cancel
          </button>
          <button
            type="submit"
            className={props.danger ? 'button primary danger' : 'button primary'}
            disabled={busy || props.disabled}
          >
            {busy ? 'Working…' : props.action}
          </button>
        </footer>
      </form>
    </Dialog>
  )
}

interface ConfirmProps {
  title: string
  action: string
  /** The name to type before something that cannot be undone. */
  typed?: string
  disabled?: boolean
  onConfirm: () => Promise<unknown>
  onClose: () => void
  children: ReactNode
}

export function Confirm(props: ConfirmProps) {
  const [text, setText] = useState('')
  return (
    <FormDialog
      title={props.title}
      action={props.action}
      danger
      disabled={props.disabled || (props.typed !== undefined && text !== props.typed)}
      onSubmit={props.onConfirm}
      onClose={props.onClose}
    >
      <div>{props.children}</div>
      {props.typed !== undefined && (
        <label className="field">
          <span>
            Type <code>{props.typed}</code> to confirm
          </span>
          <input
            className="input mono"
            value={text}
            autoComplete="off"
            onChange={(event) => setText(event.target.value)}
          />
        </label>
      )}
    </FormDialog>
  )
}
