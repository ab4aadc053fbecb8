import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launch, openPage, picture } from './browser'
import { Server } from './server'

const jobs = 100_000
const batch = 1000

let browser: Browser
let server: Server

beforeAll(async () => {
  browser = await launch('--disable-frame-rate-limit', '--disable-gpu-vsync')
  server = await Server.start()
  const batches = Array.from({ length: jobs / batch }, (_, index) => [
    'QMPUSH',
    'deep',
    String(batch),
    ...Array.from({ length: batch }, (_, position) =>
      JSON.stringify({ job: index * batch + position, to: 'ada@example.com' }),
    ),
  ])
  await server.pipeline(batches)
})

afterAll(async () => {
  await browser.close()
  await server.stop()
})

describe('a queue of 100,000 jobs', () => {
  it('scrolls with less than 200 rows in the document and a median frame below 16 ms', async () => {
    const { page, problems, close } = await openPage(browser)
    await page.goto(`${server.url}/queue?name=deep`)
    await page.getByText('100,000 jobs', { exact: true }).waitFor()
    const { frames, most } = await page.evaluate(async () => {
      const grid = document.querySelector('[role="grid"]')
      if (!grid) throw new Error('no grid')
      const frames: number[] = []
      let most = 0
      let last = performance.now()
      for (let step = 0; step < 240; step++) {
        grid.scrollTop += 240
        await new Promise((next) => requestAnimationFrame(next))
        const now = performance.now()
        frames.push(now - last)
        last = now
        most = Math.max(most, grid.querySelectorAll('[role="row"]').length)
      }
      return { frames: frames.sort((a, b) => a - b), most }
    })
    const median = frames[Math.floor(frames.length / 2)] ?? Number.POSITIVE_INFINITY
    console.log(
      `median frame ${median.toFixed(1)} ms, 95th ${frames[Math.floor(frames.length * 0.95)]?.toFixed(1)} ms, rows ${most}`,
    )
    expect(most).toBeLessThan(200)
    expect(median).toBeLessThan(16) // the browser draws as fast as it can, so a frame is what it costs
    await page.evaluate(() => {
      const grid = document.querySelector('[role="grid"]')
      if (grid) grid.scrollTop = grid.scrollHeight
    })
    await page.getByRole('row').getByText('"job":99999').waitFor()
    await picture(page, 'deep')
    expect(problems).toEqual([])
    await close()
  }, 60_000)

  it('is walked by keyboard and searched on the server with progress', async () => {
    const { page, problems, close } = await openPage(browser)
    await page.goto(`${server.url}/queue?name=deep`)
    await page.getByRole('row').getByText('"job":0,').waitFor()
    await page.getByRole('grid').focus()
    await page.keyboard.press('j')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Job 2', exact: true }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('heading', { name: 'Job 2', exact: true }).waitFor({ state: 'detached' })
    await page.keyboard.press('/')
    await page.keyboard.type('"job":77777,')
    await page.getByRole('row').getByText('"job":77777,').waitFor()
    await page.getByText(/1 job found, 100,000 of 100,000 scanned/).waitFor()
    expect(problems).toEqual([])
    await close()
  }, 60_000)

  it('tells how far a change of all that match is, and stops it', async () => {
    const { page, problems, close } = await openPage(browser)
    // The server stands still from the first progress on until Stop is pressed: else it may be done before that.
    await page.route(/api\/task\?/, async (route) => {
      let response = await route.fetch()
      while (((await response.json()) as { done: number }).done === 0) response = await route.fetch()
      server.signal('SIGSTOP')
      await route.fulfill({ response })
      await page.unroute(/api\/task\?/)
    })
    await page.goto(`${server.url}/queue?name=deep&match=job`)
    await page.getByRole('button', { name: 'Delete all matching' }).click()
    await page.locator('dialog').getByText('100,000 jobs').waitFor()
    await page.locator('dialog').getByLabel(/^Type/).fill('deep')
    await page.locator('dialog').getByRole('button', { name: 'Delete', exact: true }).click()
    await page
      .locator('dialog')
      .getByText(/^[1-9][\d,]* of 100,000$/)
      .waitFor()
    await picture(page, 'progress')
    const asked = page.waitForRequest(/api\/task\/cancel/)
    await page.locator('dialog').getByRole('button', { name: 'Stop' }).click()
    await asked
    server.signal('SIGCONT')
    const said = await page
      .getByRole('status')
      .getByText(/^Deleted [\d,]+ jobs, then stopped$/)
      .first()
      .textContent()
    const deleted = Number(said?.replace(/\D/g, ''))
    expect(deleted).toBeGreaterThan(0)
    expect(await server.cli('QLEN', 'deep', 'READY')).toBe(String(jobs - deleted))
    expect(deleted).toBeLessThan(jobs)
    expect(problems).toEqual([])
    await close()
  }, 60_000)
})
