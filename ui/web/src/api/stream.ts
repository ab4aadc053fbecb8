import { get, post } from '../http/client'
import type { Entry, Page, ParkedEntry, Verification } from './types'

export function fetchEntries(stream: string, from: string, reverse: boolean, count: number, signal?: AbortSignal) {
  return get<Page<Entry> & { high: string }>('entries', { stream, from, reverse: reverse ? 1 : 0, count }, signal)
}

export function fetchEntry(stream: string, offset: string, full: boolean) {
  return get<Entry>('entry', { stream, offset, full: full ? 1 : undefined })
}

export function fetchParked(stream: string, group: string, from: string | null, signal?: AbortSignal) {
  return get<Page<ParkedEntry>>('parked', { stream, group, from }, signal)
}

export function createStream(name: string, options: string[]) {
  return post('stream/create', { name, options })
}

export function dropStream(name: string) {
  return post('stream/drop', { name })
}

export function configureStream(name: string, set: Record<string, string>) {
  return post('stream/config', { name, set })
}

export function appendEntry(name: string, payload: string) {
  return post<{ offset: string }>('stream/append', { name, payload })
}

export function verifyStream(name: string) {
  return post<Verification>('stream/verify', { name })
}

export function createGroup(stream: string, name: string, start: string) {
  return post('group/create', { stream, name, start })
}

export function dropGroup(stream: string, name: string) {
  return post('group/drop', { stream, name })
}

export function seekGroup(stream: string, name: string, to: string) {
  return post<{ epoch: string; next: string }>('group/seek', { stream, name, to })
}

/** Gives parked entries back to the group, or drops them; null is all of them. */
export function unpark(stream: string, name: string, offsets: string[] | null, drop: boolean) {
  return post<{ count: number }>('group/unpark', { stream, name, offsets, drop })
}
