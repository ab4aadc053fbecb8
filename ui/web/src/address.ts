import { useCallback } from 'react'
import { useLocation, useSearchParams } from 'wouter'

/** Parameters that hold the name of something whose name may be empty: they stay in the address then. */
const names = ['key', 'topic']

function stays(name: string, value: string): boolean {
  return value !== '' || names.includes(name)
}

/**
 * State that lives in the address, so that every view can be sent to a colleague. Other empty values leave the address.
 * Names of queues, keys and topics may hold any byte, so they are parameters and never path segments: proxies
 * rewrite `%2F` in paths.
 */
export function useAddress() {
  const [params, setParams] = useSearchParams()
  const get = useCallback((name: string) => params.get(name), [params])
  const set = useCallback(
    (change: Record<string, string | null>, options: { push?: boolean } = {}) =>
      setParams(
        (before) => {
          const next = new URLSearchParams(before)
          for (const [name, value] of Object.entries(change)) {
            if (value === null || !stays(name, value)) next.delete(name)
            else next.set(name, value)
          }
          return next
        },
        { replace: !options.push },
      ),
    [setParams],
  )
  return { get, set }
}

/** The address of a page with parameters: address('/queue', { name: 'a/b' }). */
export function address(path: string, params: Record<string, string | number | null | undefined> = {}): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && stays(name, String(value))) search.set(name, String(value))
  }
  const text = search.toString()
  return text ? `${path}?${text}` : path
}

export function useGo() {
  const [, navigate] = useLocation()
  return navigate
}
