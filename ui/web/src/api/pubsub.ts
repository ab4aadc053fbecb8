import { get, post } from '../http/client'
import type { Page, Retained, Subscriber, Topic, Wildcard } from './types'

export function fetchTopics(filter: string, cursor: string | null, signal?: AbortSignal) {
  return get<Page<Topic>>('topics', { filter, cursor, count: 200 }, signal)
}

export function fetchWildcards(filter: string, cursor: string | null, signal?: AbortSignal) {
  return get<Page<Wildcard>>('wildcards', { filter, cursor, count: 200 }, signal)
}

/** Who gets what is published to a topic; exact: who subscribes to just this name, filter or pattern. */
export function fetchSubscribers(topic: string, exact: boolean) {
  return get<{ rows: Subscriber[] }>('subscribers', { topic, exact: exact ? 1 : undefined })
}

export function fetchRetained(filter: string, cursor: string | null, signal?: AbortSignal) {
  return get<Page<Retained>>('retained', { filter, cursor, count: 200 }, signal)
}

export async function fetchWholeRetained(topic: string) {
  const { rows } = await get<Page<Retained>>('retained', { filter: topic, count: 1, full: 1 })
  if (!rows[0]) throw new Error('It was deleted, or has expired')
  return rows[0].payload
}

export function deleteRetained(filter: string) {
  return post<{ count: number }>('retained/delete', { filter })
}

export interface Publish {
  topic: string
  payload: string
  retain: boolean
  /** Milliseconds that a retained message lives; 0 is no expiry. */
  ttl: number
}

export function publish(message: Publish) {
  return post<{ receivers: number }>('publish', message)
}
