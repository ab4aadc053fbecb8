import { useState } from 'react'
import { useSession } from '../session'
import { FormDialog } from './dialog'
import { TextField } from './text-field'
import { tell } from './toast'

interface Props {
  title: string
  config: [string, string][]
  /** Gets the changed settings alone. */
  onSave: (set: Record<string, string>) => Promise<unknown>
  onClose: () => void
}

/** Settings as the server names them; only what was changed is sent. */
export function ConfigDialog({ title, config, onSave, onClose }: Props) {
  const { readOnly } = useSession()
  // The live configuration may change under the form; what is edited is compared with what was there when it opened.
  const [initial] = useState(config)
  const [values, setValues] = useState(() => Object.fromEntries(config))
  const changed = Object.fromEntries(
    initial.flatMap(([name, value]) => (values[name] === value ? [] : [[name, values[name] ?? '']])),
  )
  const names = Object.keys(changed)
  const submit = async () => {
    await onSave(changed)
    tell(`Changed ${names.join(', ')}`)
  }
  return (
    <FormDialog
      title={title}
      action="Save"
      disabled={readOnly || names.length === 0}
      onSubmit={submit}
      onClose={onClose}
    >
      <div className="pair">
        {initial.map(([name]) => (
          <TextField
            key={name}
            label={name}
            value={values[name] ?? ''}
            onChange={(value) => setValues((before) => ({ ...before, [name]: value }))}
          />
        ))}
      </div>
    </FormDialog>
  )
}
