/* Payloads as they are read and saved: every byte of them, however they are shown. */
import { readFile } from 'node:fs/promises'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launch, openPage } from './browser'
import { Server } from './server'

let browser: Browser
let server: Server

beforeAll(async () => {
  browser = await launch()
  server = await Server.start()
})

afterAll(async () => {
  await browser.close()
  await server.stop()
})

async function saved(page: Page): Promise<{ name: string; text: string }> {
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Save payload' }).click(),
  ])
  return { name: download.suggestedFilename(), text: await readFile(await download.path(), 'utf8') }
}

describe('a payload', () => {
  it('is shown as JSON, text and hex, and saved as it is', async () => {
    const payload = '{"name":"Ada","tags":["x","y"]}'
    await server.cli('NSET', 'user', payload)
    const { page, problems, close } = await openPage(browser)
    await page.goto(`${server.url}/store?key=user`)
    await page.getByLabel('Payload as JSON').getByText('"Ada"').waitFor()
    await page.getByRole('button', { name: 'Text', exact: true }).click()
    expect(await page.locator('.payload-text').textContent()).toBe(payload)
    await page.getByRole('button', { name: 'Hex' }).click()
    const rows = await page.locator('.payload-hex div').allTextContents()
    expect(rows).toHaveLength(2)
    expect(rows[0]).toBe('00000000 7b 22 6e 61 6d 65 22 3a  22 41 64 61 22 2c 22 74  {"name":"Ada","t')
    expect(await saved(page)).toEqual({ name: 'user.json', text: payload })
    expect(problems).toEqual([])
    await close()
  })

  it('with a number that JavaScript rounds says so', async () => {
    await server.cli('NSET', 'exact', '{"id":106242075399214372653}')
    const { page, problems, close } = await openPage(browser)
    await page.goto(`${server.url}/store?key=exact`)
    await page.getByText('A browser rounds numbers').waitFor()
    await page.getByRole('button', { name: 'Text', exact: true }).click()
    await page.getByText('106242075399214372653').waitFor()
    expect(await page.getByText('A browser rounds numbers').count()).toBe(0)
    expect(problems).toEqual([])
    await close()
  })

  it('that is no text is shown as hex alone', async () => {
    const response = await fetch(`${server.url}/api/queue/push`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ name: 'bytes', b64: '/wAB' }),
    })
    expect(response.status).toBe(200)
    const { page, problems, close } = await openPage(browser)
    await page.goto(`${server.url}/queue?name=bytes&job=1`)
    await page.locator('.payload-hex').getByText('ff 00 01').waitFor()
    expect(await page.getByRole('button', { name: 'Text', exact: true }).count()).toBe(0)
    expect(problems).toEqual([])
    await close()
  })

  const long = `first ${'ü'.repeat(5000)} last`
  const places = [
    { what: 'a key', fill: ['NSET', 'long', long], path: '/store?key=long' },
    { what: 'a job', fill: ['QPUSH', 'long', long], path: '/queue?name=long&job=' },
    { what: 'an entry', fill: ['XAPPEND', 'long', long], path: '/stream?name=long&offset=' },
    { what: 'a retained message', fill: ['NPUB', 'long', long, 'RETAIN'], path: '/pubsub?tab=retained&topic=long' },
  ]
  it.each(places)(
    'of $what is saved whole, although the beginning is shown, and loaded when asked',
    async ({ fill, path }) => {
      const id = await server.cli(...fill)
      const { page, problems, close } = await openPage(browser)
      await page.goto(server.url + (path.endsWith('=') ? path + id : path))
      await page.getByText(/The first 4 KiB of 9\.78 KiB/).waitFor()
      expect((await saved(page)).text).toBe(long)
      await page.getByRole('button', { name: 'Load all' }).click()
      await page.getByText(/The first/).waitFor({ state: 'detached' })
      expect(await page.locator('.payload-text').textContent()).toBe(long)
      expect(problems).toEqual([])
      await close()
    },
  )
})
