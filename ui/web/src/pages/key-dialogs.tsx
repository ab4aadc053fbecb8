import { useState } from 'react'
import { expireKey, setKey } from '../api/store'
import { FormDialog } from '../components/dialog'
import { TextField } from '../components/text-field'
import { tell } from '../components/toast'
import { readPayload, textBytes } from '../format/payload'
import { parseSpan, span } from '../format/time'
import { HttpProblem } from '../http/client'

interface NewKeyProps {
  db: number
  prefix: string
  onClose: () => void
  onDone: (key: string) => void
}

function readTtl(text: string): number {
  if (text.trim() === '') return -1
  const ttl = parseSpan(text)
  if (ttl === null || ttl === 0) throw new Error(`"${text}" is no time: write 30s, 5m, 2h or 1d`)
  return ttl
}

export function NewKey({ db, prefix, onClose, onDone }: NewKeyProps) {
  const [key, setName] = useState(prefix)
  const [value, setValue] = useState('')
  const [ttl, setTtl] = useState('')
  const submit = async () => {
    await setKey({ db, key, bytes: textBytes(value), ifEquals: null, ttl: readTtl(ttl) })
    tell(`Set ${key}`)
    onDone(key)
  }
  return (
    <FormDialog title="New key" action="Set" disabled={key === ''} onSubmit={submit} onClose={onClose}>
      <TextField label="Key" value={key} onChange={setName} />
      <TextField label="Value" value={value} onChange={setValue} lines={7} />
      <TextField label="Expires in" value={ttl} onChange={setTtl} placeholder="never, or 30s, 5m, 2h, 1d" />
    </FormDialog>
  )
}

interface EditProps {
  db: number
  name: string
  before: Uint8Array
  onClose: () => void
  onDone: () => void
}

/** Saves only over the value that was shown: somebody else's change in between is never lost unseen. */
export function EditKey({ db, name, before, onClose, onDone }: EditProps) {
  const [initial] = useState(before)
  const { text, json } = readPayload(initial)
  // Laid out for reading only when nothing is lost on the way back: JavaScript would round long numbers.
  const laidOut = json !== undefined && JSON.stringify(json) === text
  const [value, setValue] = useState(() => (laidOut ? JSON.stringify(json, null, 2) : (text ?? '')))
  const invalid = json !== undefined && !isJson(value)
  const submit = async () => {
    const compactable = laidOut && !invalid && !/\d{16}/.test(value)
    const bytes = textBytes(compactable ? JSON.stringify(JSON.parse(value)) : value)
    try {
      await setKey({ db, key: name, bytes, ifEquals: initial, ttl: null })
    } catch (error) {
      if (error instanceof HttpProblem && error.status === 409) {
        throw new Error(
          'Somebody changed this key while you were editing. Copy your text, close, and edit the new value.',
        )
      }
      throw error
    }
    tell(`Saved ${name}`)
    onDone()
  }
  return (
    <FormDialog title={`Edit ${name}`} action="Save" onSubmit={submit} onClose={onClose}>
      <TextField label="Value" value={value} onChange={setValue} lines={14} />
      {invalid && <p className="warn">This is no JSON any more; it is saved as text.</p>}
    </FormDialog>
  )
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

interface ExpireProps {
  db: number
  name: string
  ttl: number
  onClose: () => void
  onDone: () => void
}

export function ExpireKey({ db, name, ttl, onClose, onDone }: ExpireProps) {
  const [text, setText] = useState('')
  const submit = async () => {
    const next = readTtl(text)
    await expireKey(db, name, next)
    tell(next < 0 ? `${name} never expires` : `${name} expires in ${span(next)}`)
    onDone()
  }
  return (
    <FormDialog title={`Expiry of ${name}`} action="Set" onSubmit={submit} onClose={onClose}>
      <TextField
        label="Expires in"
        hint={ttl < 0 ? 'It never expires now' : `It expires in ${span(ttl)} now`}
        value={text}
        onChange={setText}
        placeholder="never, or 30s, 5m, 2h, 1d"
      />
    </FormDialog>
  )
}
