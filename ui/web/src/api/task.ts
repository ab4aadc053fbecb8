import { get, post } from '../http/client'
import type { Task } from './types'

export function fetchTask(id: string) {
  return get<Task>('task', { id })
}

export function cancelTask(id: string) {
  return post('task/cancel', { id })
}
