import { Search } from 'lucide-react'
import { useEffect, useState } from 'react'

interface Props {
  label: string
  value: string
  onSearch: (text: string) => void
}

/** The search of a page: `/` focuses it. It asks the server when typing rests, and at once on Enter. */
export function SearchField({ label, value, onSearch }: Props) {
  const [text, setText] = useState(value)
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
