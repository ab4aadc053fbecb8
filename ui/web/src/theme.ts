import { useSyncExternalStore } from 'react'

export type Theme = 'light' | 'dark'
export type ThemeChoice = Theme | 'system'

const key = 'nexo.theme'
const system = window.matchMedia('(prefers-color-scheme: dark)')
const listeners = new Set<() => void>()

function readChoice(): ThemeChoice {
  const stored = localStorage.getItem(key)
  return stored === 'light' || stored === 'dark' ? stored : 'system'
}

let choice = readChoice()

function current(): Theme {
  return choice === 'system' ? (system.matches ? 'dark' : 'light') : choice
}

/** Writes the theme to the document; called once before the first render, so that nothing flashes. */
export function applyTheme() {
  document.documentElement.dataset.theme = current()
  for (const listener of listeners) listener()
}

export function chooseTheme(next: ThemeChoice) {
  choice = next
  if (next === 'system') localStorage.removeItem(key)
  else localStorage.setItem(key, next)
  applyTheme()
}

system.addEventListener('change', applyTheme)

function listen(listener: () => void) {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export function useTheme(): Theme {
  return useSyncExternalStore(listen, current)
}

export function useThemeChoice(): ThemeChoice {
  return useSyncExternalStore(listen, () => choice)
}
