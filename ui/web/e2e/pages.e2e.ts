import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launch, openPage, picture, seriousViolations } from './browser'
import { seed } from './seed'
import { Server } from './server'

const pages: { name: string; path: string; ready: string }[] = [
  { name: 'overview', path: '/', ready: 'text=3 dead jobs' },
  { name: 'queues', path: '/queues', ready: 'role=row >> text=resize' },
  { name: 'queue', path: '/queue?name=mail', ready: 'text=ada9@example.com' },
  { name: 'queue-dead', path: '/queue?name=resize&state=dead', ready: 'role=row >> text=dog.png' },
  { name: 'job', path: '/queue?name=mail&job=1', ready: 'role=heading[name="Job 1"]' },
  { name: 'streams', path: '/streams', ready: 'role=row >> text=orders' },
  { name: 'stream', path: '/stream?name=orders', ready: 'role=row >> text=shipped' },
  { name: 'stream-groups', path: '/stream?name=orders&tab=groups', ready: 'role=heading[name="billing"]' },
  { name: 'stream-tail', path: '/stream?name=orders&tab=tail', ready: 'text=Waiting for entries' },
  { name: 'store', path: '/store', ready: 'role=row >> text=greeting' },
  { name: 'key', path: '/store?key=greeting', ready: 'role=heading[name="greeting"]' },
  { name: 'pubsub', path: '/pubsub', ready: 'text=Waiting for messages' },
  { name: 'topics', path: '/pubsub?tab=topics', ready: 'text=plant/oven/temperature' },
  { name: 'wildcards', path: '/pubsub?tab=wildcards', ready: 'text=Nobody subscribes with a wildcard' },
  { name: 'retained', path: '/pubsub?tab=retained', ready: 'text=213' },
  { name: 'clients', path: '/clients', ready: 'role=heading[name="Clients"]' },
  { name: 'commands', path: '/clients?tab=commands', ready: 'text=Waiting for commands' },
  { name: 'slowlog', path: '/slowlog', ready: 'role=row >> text=CONFIG' },
  { name: 'server', path: '/server', ready: 'text=uptime_in_seconds' },
  { name: 'config', path: '/server?tab=config', ready: 'text=maxmemory-policy' },
  { name: 'console', path: '/console', ready: 'role=combobox' },
]

const looks = [
  { theme: 'light' as const, width: 1440, height: 900 },
  { theme: 'dark' as const, width: 1440, height: 900 },
  { theme: 'light' as const, width: 390, height: 844 },
  { theme: 'dark' as const, width: 390, height: 844 },
]

let browser: Browser
let server: Server
let empty: Server

beforeAll(async () => {
  browser = await launch()
  server = await Server.start()
  empty = await Server.start()
  await seed(server)
})

afterAll(async () => {
  await browser.close()
  await server.stop()
  await empty.stop()
})

/** Nothing may be wider than the page: a clipped button cannot be pressed. */
async function overflow(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
}

describe.each(looks)('pages, $theme, $width wide', ({ theme, width, height }) => {
  it('show what there is, are accessible and fit', async () => {
    const { page, problems, close } = await openPage(browser, { viewport: { width, height }, colorScheme: theme })
    const violations: string[] = []
    for (const { name, path, ready } of pages) {
      await page.goto(server.url + path)
      await page.locator(ready).first().waitFor({ timeout: 8000 })
      violations.push(...(await seriousViolations(page)).map((each) => `${name}: ${each}`))
      expect(await overflow(page), `${name} is too wide`).toBeLessThanOrEqual(0)
      await picture(page, `${name}-${theme}-${width}`)
    }
    expect(violations).toEqual([])
    expect(problems).toEqual([])
    await close()
  }, 90_000)
})

describe('the lists of queues and streams', () => {
  it('are sorted by every column, both ways', async () => {
    const { page, problems, close } = await openPage(browser)
    interface Frame {
      t: string
      id: number
      q?: { sort?: string }
    }
    const asked = new Map<number, string>()
    const answers = new Map<string, string>()
    page.on('websocket', (socket) => {
      socket.on('framesent', ({ payload }) => {
        const { id, q } = JSON.parse(String(payload)) as Frame
        if (q?.sort) asked.set(id, q.sort)
      })
      socket.on('framereceived', ({ payload }) => {
        const { t, id } = JSON.parse(String(payload)) as Frame
        const sort = asked.get(id)
        if (sort && t !== 'delta') answers.set(sort, t)
      })
    })
    for (const path of ['/queues', '/streams']) {
      await page.goto(server.url + path)
      await page.getByRole('row').nth(1).waitFor()
      const headers = page.getByRole('columnheader').getByRole('button')
      for (let column = 0; column < (await headers.count()); column++) {
        for (let click = 0; click < 2; click++) {
          const before = new URL(page.url()).searchParams.get('sort')
          await headers.nth(column).click()
          await expect.poll(() => new URL(page.url()).searchParams.get('sort')).not.toBe(before)
          const sort = new URL(page.url()).searchParams.get('sort') ?? 'name'
          await expect.poll(() => answers.get(sort), { timeout: 4000 }).toBe('snap')
        }
      }
    }
    expect(problems).toEqual([])
    await close()
  })
})

describe('the overview', () => {
  it('tells how long an fsync takes', async () => {
    const { page, problems, close } = await openPage(browser)
    await page.goto(server.url)
    await expect
      .poll(
        async () => {
          await server.cli('QPUSH', 'reports', 'weekly')
          return page.locator('.server-line').textContent()
        },
        { timeout: 8000 },
      )
      .toMatch(/[1-9][\d.]* (µs|ms|s) fsync p99/)
    expect(problems).toEqual([])
    await close()
  })
})

describe('pages of an empty server', () => {
  it('say what to do', async () => {
    const { page, problems, close } = await openPage(browser)
    const words: [string, string][] = [
      ['/', 'No queue and no stream yet'],
      ['/queues', 'No queue yet'],
      ['/streams', 'No stream yet'],
      ['/store', 'No key in this database'],
      ['/pubsub?tab=topics', 'No topic'],
      ['/pubsub?tab=wildcards', 'Nobody subscribes with a wildcard'],
      ['/pubsub?tab=retained', 'No retained message'],
      ['/clients', 'Nobody is connected'],
      ['/slowlog', 'No command was slow'],
      ['/queue?name=gone', "no such queue 'gone'"],
      ['/stream?name=gone', "no such stream 'gone'"],
      ['/nowhere', 'There is no such page'],
    ]
    for (const [path, text] of words) {
      await page.goto(empty.url + path)
      await page.getByText(text).first().waitFor({ timeout: 8000 })
    }
    await picture(page, 'empty')
    expect(problems).toEqual([])
    await close()
  }, 60_000)
})
