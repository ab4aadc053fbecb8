/* The live tail of commands: what others send, and nothing that it must not show. */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launch, openPage, picture } from './browser'
import { Server } from './server'

let browser: Browser

beforeAll(async () => {
  browser = await launch()
})

afterAll(async () => {
  await browser.close()
})

/** What the page sends over its socket. */
function framesOf(page: Page): { t: string; id: number; topic?: string }[] {
  const frames: { t: string; id: number; topic?: string }[] = []
  page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => frames.push(JSON.parse(String(payload)))))
  return frames
}

describe('live commands', () => {
  it('come, are filtered, stay while paused, and cost nothing once nobody looks', async () => {
    const server = await Server.start()
    const { page, problems, close } = await openPage(browser)
    const frames = framesOf(page)
    const subscribed = () => {
      const last = frames.findLast((frame) => frame.topic === 'tail:commands')
      return last !== undefined && !frames.some((frame) => frame.t === 'unsub' && frame.id === last.id)
    }
    await page.goto(`${server.url}/clients`)
    await page.getByRole('link', { name: 'Live commands' }).click()
    await page.getByText('Waiting for commands').waitFor()
    const grid = page.getByRole('grid', { name: 'Live commands' })
    await expect
      .poll(async () => {
        await server.cli('NSET', 'greeting', 'hello there')
        return grid.getByText('greeting hello there').count()
      })
      .toBeGreaterThan(0)

    await page.getByLabel('Find by command, name or address').fill('qpush')
    await page.getByText('Waiting for commands with "qpush"').waitFor()
    await expect
      .poll(async () => {
        await server.cli('NGET', 'greeting')
        await server.cli('QPUSH', 'mail', 'to ada', 'PRIORITY', '7')
        return grid.getByText('mail to ada').count()
      })
      .toBeGreaterThan(0)
    expect(await grid.getByText('NGET').count()).toBe(0)

    expect(subscribed()).toBe(true)
    await grid.getByText('mail to ada').first().click()
    await page.getByRole('heading', { name: 'QPUSH' }).waitFor()
    expect(await page.locator('.words li').allTextContents()).toEqual(['mail', 'to ada', 'PRIORITY', '7'])
    await picture(page, 'commands')
    expect(subscribed()).toBe(false) // a click pauses
    await page.getByRole('button', { name: 'Resume' }).click()
    await expect.poll(subscribed).toBe(true)
    await page.getByRole('link', { name: 'Queues' }).click()
    await expect.poll(subscribed).toBe(false)
    expect(problems).toEqual([])
    await close()
    await server.stop()
  })

  it('show neither passwords nor hidden payloads', async () => {
    const server = await Server.start('--dashboard-hide-payloads')
    const { page, problems, close } = await openPage(browser)
    await page.goto(`${server.url}/clients?tab=commands`)
    await page.getByText('Waiting for commands').waitFor()
    const grid = page.getByRole('grid', { name: 'Live commands' })
    await expect
      .poll(async () => {
        await server.cli('QPUSH', 'mail', 'private')
        await server.cli('AUTH', 'sesame')
        return (await grid.getByText('mail (hidden)').count()) * (await grid.getByText('(redacted)').count())
      })
      .toBeGreaterThan(0)
    expect(await page.getByText(/private|sesame/).count()).toBe(0)

    await page.goto(`${server.url}/queue?name=mail&match=private`) // a search would spell it out
    await page.getByRole('row').getByText('hidden').first().waitFor()
    expect(await page.getByLabel('Search in payloads and reasons').count()).toBe(0)
    await page.getByLabel('Search in reasons').fill('nothing')
    await page.getByText('No job here has "nothing" in it').waitFor()
    expect(problems).toEqual([])
    await close()
    await server.stop()
  })
})
