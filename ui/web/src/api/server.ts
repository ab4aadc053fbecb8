import { get, post } from '../http/client'
import type { CommandHelp, Reply, Section, Setting } from './types'

export function killClient(id: string) {
  return post<{ count: number }>('client/kill', { id })
}

export function resetSlowLog() {
  return post('slowlog/reset')
}

export function fetchInfo() {
  return get<{ sections: Section[] }>('info')
}

export function fetchConfig() {
  return get<{ rows: Setting[] }>('config')
}

export function setConfig(name: string, value: string) {
  return post('config', { name, value })
}

export function fetchCommands() {
  return get<{ rows: CommandHelp[] }>('commands')
}

export function runCommand(db: number, args: string[]) {
  return post<{ reply: Reply }>('console', { db, args })
}
