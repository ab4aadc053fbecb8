import { useEffect } from 'react'

export interface Shortcut {
  keys: string
  does: string
}

/** The shortcuts that the help lists. Tables and dialogs handle their own keys. */
export const shortcuts: Shortcut[] = [
  { keys: '/', does: 'Search this page' },
  { keys: 'j  k', does: 'Next and previous row' },
  { keys: 'Enter', does: 'Open the row' },
  { keys: 'Esc', does: 'Close the detail or the dialog' },
  { keys: 'g o', does: 'Overview' },
  { keys: 'g k', does: 'Store' },
  { keys: 'g p', does: 'Pub/Sub' },
  { keys: 'g q', does: 'Queues' },
  { keys: 'g s', does: 'Streams' },
  { keys: 'g c', does: 'Console' },
  { keys: '?', does: 'This list' },
]

export const goTo: Record<string, string> = {
  o: '/',
  k: '/store',
  p: '/pubsub',
  q: '/queues',
  s: '/streams',
  c: '/console',
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest('input, textarea, select, dialog, [contenteditable]') !== null
}

/** Keys of the whole page: `/` goes to its search, `g` and a letter to a page, `?` asks for help. */
export function usePageKeys(navigate: (path: string) => void, help: () => void) {
  useEffect(() => {
    let afterG = 0
    const onKey = (event: KeyboardEvent) => {
      if (event.metaKey || event.ctrlKey || event.altKey || isTyping(event.target)) return
      if (Date.now() - afterG < 1000 && goTo[event.key]) {
        event.preventDefault()
        afterG = 0
        return navigate(goTo[event.key] ?? '/')
      }
      afterG = event.key === 'g' ? Date.now() : 0
      if (event.key === '?') help()
      if (event.key === '/') {
        const search = document.querySelector<HTMLInputElement>('[data-search]')
        if (search) {
          event.preventDefault()
          search.focus()
          search.select()
        }
      }
    }
    window.addEventListener('keydown', onKey)
    return () => window.removeEventListener('keydown', onKey)
  }, [navigate, help])
}

/** Runs `close` on Escape while something is open beside the list. */
export function useEscape(active: boolean, close: () => void) {
  useEffect(() => {
    if (!active) return
    const onKey = (event: KeyboardEvent) => {
      if (event.key === 'Escape' && !isTyping(event.target) && !document.querySelector('dialog[open]')) close()
    }
    window.addEventListener('keydown', onKey)
    return () => window.removeEventListener('keydown', onKey)
  }, [active, close])
}
