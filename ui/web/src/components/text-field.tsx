interface Props {
  label: string
  value: string
  onChange: (value: string) => void
  hint?: string
  /** More than one makes a text area. */
  lines?: number
  type?: 'text' | 'number'
  min?: number
  max?: number
  placeholder?: string
}

/** A labelled field. */
export function TextField({ label, value, onChange, hint, lines = 1, ...rest }: Props) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the field is inside
    <label className="field">
      <span>{label}</span>
      {lines > 1 ? (
        <textarea
          className="input"
          rows={lines}
          value={value}
          spellCheck={false}
          onChange={(event) => onChange(event.target.value)}
        />
      ) : (
        <input
          className="input"
          value={value}
          autoComplete="off"
          spellCheck={false}
          {...rest}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
      {hint && <small>{hint}</small>}
    </label>
  )
}
