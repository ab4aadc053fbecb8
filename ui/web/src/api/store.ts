import { toBase64 } from '../format/payload'
import { get, post } from '../http/client'
import type { KeyDetail, KeyRow, KeyTree, Page } from './types'

export function fetchTree(db: number, prefix: string, delimiter: string, signal?: AbortSignal) {
  return get<KeyTree>('tree', { db, prefix, delimiter }, signal)
}

export function searchKeys(db: number, match: string, cursor: string | null, signal?: AbortSignal) {
  return get<Page<KeyRow>>('keys', { db, match, cursor, count: 200 }, signal)
}

export function fetchKey(db: number, key: string, full: boolean) {
  return get<KeyDetail>('key', { db, key, full: full ? 1 : undefined })
}

export interface SetKey {
  db: number
  key: string
  bytes: Uint8Array
  /** The value that must still be there; null writes only a new key. */
  ifEquals: Uint8Array | null
  /** Milliseconds; -1 removes the expiry, null keeps it. */
  ttl: number | null
}

export function setKey({ db, key, bytes, ifEquals, ttl }: SetKey) {
  return post('key/set', { db, key, b64: toBase64(bytes), ifEquals: ifEquals && toBase64(ifEquals), ttl })
}

export function expireKey(db: number, key: string, ttl: number) {
  return post('key/expire', { db, key, ttl })
}

export function deleteKeys(db: number, keys: string[]) {
  return post<{ count: number }>('key/delete', { db, keys })
}

export function countPrefix(db: number, prefix: string) {
  return post<{ count: number }>('key/delete-prefix', { db, prefix, dryRun: true })
}

export function deletePrefix(db: number, prefix: string) {
  return post<{ task: string }>('key/delete-prefix', { db, prefix, dryRun: false })
}
