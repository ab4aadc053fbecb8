import { useQuery } from '@tanstack/react-query'
import { type KeyboardEvent, type SubmitEvent, useEffect, useMemo, useRef, useState } from 'react'
import { fetchCommands, runCommand } from '../api/server'
import type { CommandHelp } from '../api/types'
import { Empty, Panel } from '../components/panel'
import { formatReply } from '../console/reply'
import { splitWords } from '../console/words'
import { problemOf } from '../http/client'

interface Exchange {
  id: number
  line: string
  answer: string
  failed: boolean
  took: number
}

const keptLines = 200
const suggestionLimit = 8
const historyKey = 'nexo.console'

function readHistory(): string[] {
  try {
    const stored: unknown = JSON.parse(sessionStorage.getItem(historyKey) ?? '[]')
    return Array.isArray(stored) ? stored.filter((line): line is string => typeof line === 'string') : []
  } catch {
    return [] // a history that is not ours is no history
  }
}

export function ConsolePage() {
  const [exchanges, setExchanges] = useState<Exchange[]>([])
  const [busy, setBusy] = useState(false)
  const end = useRef<HTMLDivElement>(null)
  const { data } = useQuery({ queryKey: ['commands'], queryFn: fetchCommands, staleTime: Number.POSITIVE_INFINITY })
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new answer scrolls into sight
  useEffect(() => {
    end.current?.scrollIntoView({ block: 'end' })
  }, [exchanges])
  const run = async (line: string) => {
    const began = performance.now()
    setBusy(true)
    const add = (answer: string, failed: boolean) =>
      setExchanges((before) =>
        [
          ...before,
          { id: (before[before.length - 1]?.id ?? 0) + 1, line, answer, failed, took: performance.now() - began },
        ].slice(-keptLines),
      )
    try {
      const { reply } = await runCommand(0, splitWords(line))
      add(formatReply(reply), reply.t === 'error')
    } catch (error) {
      add(problemOf(error), true)
    }
    setBusy(false)
  }
  return (
    <>
      <header className="page-head">
        <h1>Console</h1>
        <p className="muted">
          Any command, answered as redis-cli prints it. Commands that block or subscribe are refused.
        </p>
        <div className="actions">
          <button type="button" className="button" disabled={exchanges.length === 0} onClick={() => setExchanges([])}>
            Clear
          </button>
        </div>
      </header>
      <div className="page-body">
        <Panel label="Console" className="grow console">
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard */}
          <div className="console-log" role="log" aria-label="Answers" tabIndex={0}>
            {exchanges.length === 0 && (
              <Empty title="Try one">
                <code>QPUSH mail hello</code>, <code>XAPPEND orders paid</code>, <code>NSET greeting hello EX 60</code>,{' '}
                <code>INFO</code>
              </Empty>
            )}
            {exchanges.map((exchange) => (
              <article key={exchange.id}>
                <header>
                  <b>{exchange.line}</b>
                  <span className="muted number">{Math.max(1, Math.round(exchange.took))} ms</span>
                </header>
                <pre className={exchange.failed ? 'bad' : undefined}>{exchange.answer}</pre>
              </article>
            ))}
            <div ref={end} />
          </div>
          <Prompt commands={data?.rows ?? []} busy={busy} onRun={run} />
        </Panel>
      </div>
    </>
  )
}

interface PromptProps {
  commands: CommandHelp[]
  busy: boolean
  onRun: (line: string) => Promise<void>
}

/** The line to type on: names complete with Tab, arrows choose among them or walk through what was run before. */
function Prompt({ commands, busy, onRun }: PromptProps) {
  const [line, setLine] = useState('')
  const [history, setHistory] = useState(readHistory)
  const [back, setBack] = useState(0)
  const [choice, setChoice] = useState(0)
  const suggestions = useMemo(() => {
    const typed = line.toUpperCase()
    if (typed === '' || /\s/.test(line)) return []
    return commands.filter((command) => command.name.toUpperCase().startsWith(typed)).slice(0, suggestionLimit)
  }, [commands, line])
  const help = commands.find((command) => line.toUpperCase().startsWith(`${command.name.toUpperCase()} `))
  const chosen = suggestions[Math.min(choice, suggestions.length - 1)]
  const complete = (command: CommandHelp) => {
    setLine(`${command.name.toUpperCase()} `)
    setChoice(0)
  }
  const recall = (steps: number) => {
    const next = Math.max(0, Math.min(history.length, back + steps))
    setBack(next)
    setLine(next === 0 ? '' : (history[history.length - next] ?? ''))
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Tab' && chosen && !event.shiftKey) {
      event.preventDefault()
      complete(chosen)
    } else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault()
      const down = event.key === 'ArrowDown'
      if (suggestions.length > 1 && back === 0)
        setChoice((choice + (down ? 1 : suggestions.length - 1)) % suggestions.length)
      else recall(down ? -1 : 1)
    } else if (event.key === 'Escape') setLine('')
  }
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const text = line.trim()
    if (text === '' || busy) return
    const next = [...history.filter((each) => each !== text), text].slice(-keptLines)
    setHistory(next)
    sessionStorage.setItem(historyKey, JSON.stringify(next))
    setBack(0)
    setLine('')
    await onRun(text)
  }
  return (
    <form className="prompt" onSubmit={submit}>
      {suggestions.length > 0 && (
        <div className="suggestions" id="suggestions" role="listbox" aria-label="Commands">
          {suggestions.map((command) => (
            // biome-ignore lint/a11y/useKeyWithClickEvents: the input handles the keys of its list
            // biome-ignore lint/a11y/useFocusableInteractive: the focus stays in the input
            <div
              key={command.name}
              id={`suggestion-${command.name}`}
              role="option"
              aria-selected={command === chosen}
              onClick={() => complete(command)}
            >
              <b>{command.name.toUpperCase()}</b> <span className="muted clip">{command.summary}</span>
            </div>
          ))}
        </div>
      )}
      {help && suggestions.length === 0 && (
        <p className="prompt-help">
          <code>{help.syntax}</code> <span className="muted">{help.summary}</span>
        </p>
      )}
      <div className="row">
        <span className="mono muted" aria-hidden>
          nexo&gt;
        </span>
        <input
          className="input mono"
          data-search
          aria-label="Command"
          role="combobox"
          aria-expanded={suggestions.length > 0}
          aria-controls="suggestions"
          aria-activedescendant={chosen ? `suggestion-${chosen.name}` : undefined}
          value={line}
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          onChange={(event) => {
            setLine(event.target.value)
            setChoice(0)
            setBack(0)
          }}
          onKeyDown={onKeyDown}
        />
        <button type="submit" className="button primary" disabled={busy || line.trim() === ''}>
          Run
        </button>
      </div>
    </form>
  )
}
