/* Brokers with a little of everything, so that no page is empty. */
import type { Server } from './server'

export const hostile = '<img src=x onerror=alert(1)>'

export async function seed(server: Server): Promise<void> {
  const mail = Array.from({ length: 40 }, (_, index) => [
    'QPUSH',
    'mail',
    JSON.stringify({ to: `ada${index}@example.com`, template: 'welcome', attempt: index }),
    'PRIORITY',
    String(index % 10),
  ])
  const orders = Array.from({ length: 300 }, (_, index) => [
    'XAPPEND',
    'orders',
    JSON.stringify({ order: 1000 + index, status: ['paid', 'shipped', 'refunded'][index % 3], amount: index * 3.5 }),
  ])
  const sessions = Array.from({ length: 60 }, (_, index) => [
    'NSET',
    `session:${index}:user`,
    JSON.stringify({ user: `ada${index}`, roles: ['admin'] }),
    'EX',
    String(600 + index * 60),
  ])
  await server.pipeline([
    ['QCREATE', 'resize', 'MAXATTEMPTS', '1'],
    ['QCREATE', 'reports'],
    ...mail,
    ['QPUSH', 'mail', 'later', 'DELAY', '1h'],
    ['QPUSH', 'reports', 'monthly'],
    ['QPAUSE', 'reports'],
    ['XCREATE', 'audit', 'INTEGRITY', 'CHAIN'],
    ['XAPPEND', 'audit', 'door opened'],
    ...orders,
    ['XGCREATE', 'orders', 'billing'],
    ['XGCREATE', 'orders', 'search', 'START', 'next'],
    ...sessions,
    ['NSET', 'greeting', 'hello'],
    ['NPUB', 'plant/oven/temperature', '213', 'RETAIN'],
    ['NPUB', 'plant/oven/state', '{"on":true}', 'RETAIN', 'EX', '3600'],
    ['CONFIG', 'SET', 'slowlog-log-slower-than', '0'],
    ['NGET', 'greeting'],
    ['CONFIG', 'SET', 'slowlog-log-slower-than', '10000'],
  ])
  await server.cli('XCONSUME', 'orders', 'billing', 'worker-1', 'COUNT', '10')
  await makeDead(server, 'resize', ['cat.png', 'dog.png', hostile], 'not a picture')
}

/** Pushes jobs to a queue, lets each of them fail for good, and answers their ids. */
export async function makeDead(server: Server, queue: string, payloads: string[], reason: string): Promise<string[]> {
  const ids: string[] = []
  for (const payload of payloads) {
    await server.cli('QPUSH', queue, payload)
    const popped = await server.cli('--json', 'QPOP', queue)
    const handle = (JSON.parse(popped) as [[string]])[0][0]
    ids.push(handle.split('-')[0] ?? '')
    await server.cli('QNACK', queue, handle, 'REASON', reason, 'DEAD')
  }
  return ids
}
