import { useState } from 'react'
import { bytes } from '../format/number'
import { span } from '../format/time'
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

/** Settings that are milliseconds, and what 0 means there. */
const spans: Record<string, string> = {
  lease: 'none',
  delay: 'none',
  ttl: 'never',
  dlqttl: 'never',
  maxage: 'kept for ever',
  dedupwindow: 'no window',
}

/** What a number means, as people say it; one with a unit says it itself. */
function meaning(name: string, value: string): string | undefined {
  if (!/^\d+$/.test(value.trim())) return undefined
  const number = Number(value)
  if (name in spans) return number === 0 ? spans[name] : span(number)
  if (name === 'maxbytes') return number === 0 ? 'no limit' : bytes(number)
  if (name === 'maxlen') return number === 0 ? 'no limit' : undefined
  return undefined
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
        {initial.map(([name]) => {
          const value = values[name] ?? ''
          const hint = meaning(name, value)
          return (
            <TextField
              key={name}
              label={name}
              {...(hint ? { hint } : {})}
              value={value}
              onChange={(text) => setValues((before) => ({ ...before, [name]: text }))}
            />
          )
        })}
      </div>
    </FormDialog>
  )
}
