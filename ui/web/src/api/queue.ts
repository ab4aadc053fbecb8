import { get, post } from '../http/client'
import type { Job, JobState, Page } from './types'

export function fetchJobs(queue: string, state: JobState, offset: number, count: number, signal: AbortSignal) {
  return get<{ total: number; rows: Job[] }>('jobs', { queue, state, offset, count }, signal)
}

/** What jobs are searched for: a text in payload or reason, a text in the reason, or both. */
export interface JobMatch {
  match: string
  reason: string
}

export function searchJobs(
  queue: string,
  state: JobState,
  wanted: JobMatch,
  cursor: string | null,
  signal: AbortSignal,
) {
  return get<Page<Job>>('jobs', { queue, state, ...wanted, cursor, count: 100 }, signal)
}

export function fetchJob(queue: string, id: string, full: boolean) {
  return get<Job>('job', { queue, id, full: full ? 1 : undefined })
}

export type JobAction = 'replay' | 'delete'

export function actOnJobs(queue: string, action: JobAction, ids: string[]) {
  return post<{ count: number }>('jobs/act', { queue, action, ids })
}

export interface BulkOfJobs extends JobMatch {
  queue: string
  state: JobState
  action: JobAction
}

export function countBulk(bulk: BulkOfJobs) {
  return post<{ count: number }>('bulk', { ...bulk, dryRun: true })
}

export function startBulk(bulk: BulkOfJobs) {
  return post<{ task: string }>('bulk', { ...bulk, dryRun: false })
}

export interface PushJob {
  name: string
  payload: string
  priority: number
  delay: number
  dedup: string
}

export function pushJob(job: PushJob) {
  return post<{ id: string }>('queue/push', job)
}

export function createQueue(name: string, options: string[]) {
  return post('queue/create', { name, options })
}

export function dropQueue(name: string) {
  return post('queue/drop', { name })
}

export function pauseQueue(name: string, side: 'in' | 'out' | 'all') {
  return post('queue/pause', { name, side })
}

export function resumeQueue(name: string) {
  return post('queue/resume', { name })
}

export function purgeQueue(name: string, states: JobState[]) {
  return post<{ count: number }>('queue/purge', { name, states })
}

export function configureQueue(name: string, set: Record<string, string>) {
  return post('queue/config', { name, set })
}
