import { Search } from 'lucide-react'
import { useCallback, useEffect, useState } from 'react'
import { useAddress } from '../address'

interface Props {
  label: string
  /** The parameter of the address that holds the text. */
  name?: string
}

/** The search of a page: `/` focuses it. What is typed goes into the address when typing rests, and at once on Enter. */
export function SearchField({ label, name = 'filter' }: Props) {
  const { get, set } = useAddress()
  const value = get(name) ?? ''
  const [text, setText] = useState(value)
  const onSearch = useCallback((next: string) => set({ [name]: next }), [set, name])
  useEffect(() => setText(value), [value])
  useEffect(() => {
    if (text === value) return
    const rest = setTimeout(() => onSearch(text), 300)
    return () => clearTimeout(rest)
  }, [text, value, onSearch])
  return (
    <div className="search">
      <Search aria-hidden />
      <input
        className="input"
        type="text"
        data-search
        aria-label={label}
        placeholder={label}
        value={text}
        autoComplete="off"
        spellCheck={false}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter') onSearch(text)
          if (event.key === 'Escape') {
            if (text) {
              setText('')
              onSearch('')
            } else event.currentTarget.blur()
          }
        }}
      />
      <kbd aria-hidden>/</kbd>
    </div>
  )
}
