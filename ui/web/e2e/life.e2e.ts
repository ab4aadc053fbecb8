/* What happens when the server dies, sits behind a proxy, or is fed with hostile names. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server as HttpServer, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launch, openPage, picture, seriousViolations } from './browser'
import { hostile } from './seed'
import { Server } from './server'

let browser: Browser

beforeAll(async () => {
  browser = await launch()
})

afterAll(async () => {
  await browser.close()
})

describe('a server that dies', () => {
  it('leaves a banner with the age of the data within 4 s, which goes when it is back', async () => {
    const server = await Server.start()
    const { page, problems, close } = await openPage(browser)
    await server.cli('QPUSH', 'work', 'a')
    await page.goto(`${server.url}/queue?name=work`)
    await page.getByText('1 job', { exact: true }).waitFor()
    await page.locator('.pulse[data-state="live"]').waitFor()
    const killed = Date.now()
    await server.kill('SIGKILL')
    await page.getByText(/Live data paused: last update \d/).waitFor({ timeout: 8000 })
    const took = Date.now() - killed
    await picture(page, 'stale')
    await server.up()
    await server.cli('QPUSH', 'work', 'b')
    await page.getByText(/Live data paused/).waitFor({ state: 'detached', timeout: 20_000 })
    await page.getByText('2 jobs', { exact: true }).waitFor()
    await page.getByRole('link', { name: /^Ready 2/ }).waitFor()
    expect(took).toBeLessThan(4000)
    expect(problems).toEqual([])
    await close()
    await server.stop()
  }, 60_000)
})

describe('a server that was replaced by another version', () => {
  it('offers to load its dashboard, once it greets the open page', async () => {
    const server = await Server.start()
    const { page, problems, close } = await openPage(browser)
    let version = ''
    let greetings = 0
    await page.routeWebSocket(/api\/ws/, (socket) => {
      const onward = socket.connectToServer()
      onward.onMessage((text) => {
        const frame = JSON.parse(String(text)) as { t: string; srv: string }
        if (frame.t === 'hello') greetings++
        socket.send(frame.t === 'hello' && version ? JSON.stringify({ ...frame, srv: version }) : text)
      })
    })
    await page.goto(`${server.url}/queues`)
    await page.locator('.pulse[data-state="live"]').waitFor()
    await server.kill('SIGKILL')
    await server.up()
    await expect.poll(() => greetings, { timeout: 20_000 }).toBe(2)
    await page.locator('.pulse[data-state="live"]').waitFor()
    const reload = page.getByRole('button', { name: 'Reload the dashboard' })
    expect(await reload.count()).toBe(0) // started again, but the same version
    await server.kill('SIGKILL')
    version = '99.0.0'
    await server.up()
    await reload.waitFor({ timeout: 20_000 })
    await picture(page, 'updated')
    await Promise.all([page.waitForEvent('load'), reload.click()])
    await page.locator('.rail').getByText('99.0.0').waitFor()
    expect(await reload.count()).toBe(0)
    expect(problems).toEqual([])
    await close()
    await server.stop()
  }, 60_000)
})

/** A proxy that serves the dashboard under /nexo, with the prefix taken off or left on; it may refuse upgrades. */
async function proxy(port: number, strip: boolean, upgrades = () => true): Promise<HttpServer> {
  const target = (path = '/') => (strip ? path.replace(/^\/nexo/, '') || '/' : path)
  const server = createServer((incoming, outgoing) => {
    const { method, headers } = incoming
    const onward = request({ port, host: '127.0.0.1', method, headers, path: target(incoming.url) }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
    })
    onward.on('error', () => outgoing.destroy())
    incoming.pipe(onward)
  })
  server.on('upgrade', (incoming, socket) => {
    if (!upgrades()) return socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
    const onward = connect(port, '127.0.0.1', () => {
      const headers = Object.entries(incoming.headers).map(([name, value]) => `${name}: ${value}`)
      onward.write(`GET ${target(incoming.url)} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`)
      onward.pipe(socket).pipe(onward)
    })
    onward.on('error', () => socket.destroy())
    socket.on('error', () => onward.destroy())
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return server
}

describe.each([{ strip: true }, { strip: false }])('under a prefix, stripped by the proxy: $strip', ({ strip }) => {
  it('reloads deep links, navigates and stays live', async () => {
    const server = await Server.start('--dashboard-base-path', '/nexo')
    const front = await proxy(server.dashboardPort, strip)
    const url = `http://127.0.0.1:${(front.address() as AddressInfo).port}/nexo`
    await server.cli('QPUSH', 'a/b?c', 'payload-here')
    const { page, problems, close } = await openPage(browser)
    await page.goto(`${url}/queue?name=${encodeURIComponent('a/b?c')}`)
    await page.getByRole('row').getByText('payload-here').waitFor()
    await page.reload()
    await page.getByRole('row').getByText('payload-here').waitFor()
    await page.locator('.pulse[data-state="live"]').waitFor()
    await page.getByRole('link', { name: 'Streams' }).click()
    await page.getByRole('heading', { name: 'Streams' }).waitFor()
    expect(new URL(page.url()).pathname).toBe('/nexo/streams')
    expect(problems).toEqual([])
    await close()
    front.closeAllConnections()
    front.close()
    await server.stop()
  }, 60_000)
})

describe('behind a proxy that lets no WebSocket through', () => {
  it('polls and says so, until one comes through', async () => {
    let upgrades = false
    const server = await Server.start('--dashboard-base-path', '/nexo')
    const front = await proxy(server.dashboardPort, true, () => upgrades)
    const url = `http://127.0.0.1:${(front.address() as AddressInfo).port}/nexo`
    await server.cli('QPUSH', 'mail', 'one')
    const { page, problems, close } = await openPage(browser)
    await page.goto(`${url}/queues`)
    await page.getByText('Polled every two seconds').waitFor({ timeout: 20_000 })
    await page.getByRole('row', { name: /mail/ }).waitFor()
    await picture(page, 'polled')
    await server.cli('QCREATE', 'later')
    await page.getByRole('row', { name: /later/ }).waitFor()
    await page.getByRole('link', { name: 'Overview' }).click()
    await page.getByText('commands/s').waitFor()
    await page.getByRole('navigation').getByRole('link', { name: 'Pub/Sub' }).click()
    await page.getByText('A live tail needs a WebSocket').waitFor()
    upgrades = true
    await page.getByText('Polled every two seconds').waitFor({ state: 'detached', timeout: 20_000 })
    await page.getByText('A live tail needs a WebSocket').waitFor({ state: 'detached' })
    await page.locator('.pulse[data-state="live"]').getByText('Live').waitFor()
    expect(problems).toEqual([])
    await close()
    front.closeAllConnections()
    front.close()
    await server.stop()
  }, 60_000)
})

describe('hostile names and payloads', () => {
  it('are text everywhere', async () => {
    const server = await Server.start()
    await server.pipeline([
      ['QPUSH', hostile, hostile],
      ['XAPPEND', hostile, hostile],
      ['XGCREATE', hostile, hostile],
      ['NSET', hostile, hostile],
      ['NPUB', hostile, hostile, 'RETAIN'],
    ])
    const { page, problems, close } = await openPage(browser)
    const name = encodeURIComponent(hostile)
    const paths = [
      '/queues',
      `/queue?name=${name}&job=1`,
      '/streams',
      `/stream?name=${name}&offset=1`,
      `/stream?name=${name}&tab=groups`,
      '/store',
      `/store?key=${name}`,
      `/store?match=${encodeURIComponent('img')}`,
      '/pubsub?tab=topics',
      `/pubsub?tab=retained&topic=${name}`,
    ]
    for (const path of paths) {
      await page.goto(server.url + path)
      await page.locator('main').getByText(hostile).first().waitFor({ timeout: 8000 })
    }
    await page.goto(`${server.url}/pubsub`)
    await expect
      .poll(async () => {
        await server.cli('NPUB', hostile, hostile)
        return page.getByRole('row').getByText(hostile).count()
      })
      .toBeGreaterThan(0)
    await page.goto(`${server.url}/console`)
    await page.getByRole('combobox').fill(`NGET "${hostile}"`)
    await page.getByRole('combobox').press('Enter')
    await page.getByRole('log').locator('pre').getByText(hostile).waitFor()
    expect(await page.locator('img[src="x"]').count()).toBe(0)
    expect(problems).toEqual([])
    await close()
    await server.stop()
  }, 60_000)
})

describe('a read-only dashboard', () => {
  it('offers no change, and the server refuses one', async () => {
    const server = await Server.start('--dashboard-read-only')
    await server.cli('QPUSH', 'work', 'a')
    const { page, close } = await openPage(browser)
    await page.goto(`${server.url}/queue?name=work`)
    await page.getByRole('row').getByText('a', { exact: true }).waitFor()
    expect(await page.getByRole('button', { name: 'Push a job' }).isDisabled()).toBe(true)
    const status = await page.evaluate(async () => {
      const headers = { 'Content-Type': 'application/json' }
      return (await fetch('/api/queue/push', { method: 'POST', headers, body: '{"name":"work","payload":"b"}' })).status
    })
    expect(status).toBe(403)
    expect(await server.cli('QLEN', 'work')).toBe('1')
    await close()
    await server.stop()
  })
})

describe('a dashboard with a password', () => {
  it('shows nothing before the login, tells a wrong password, and opens with the right one', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'nexo-password-'))
    const file = join(directory, 'password')
    await writeFile(file, 'open sesame')
    const server = await Server.start('--password-file', file)
    const { page, problems, close } = await openPage(browser)
    await page.goto(`${server.url}/queues`)
    await page.getByLabel('Password').fill('wrong')
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByRole('alert').waitFor()
    expect(await page.getByRole('navigation').count()).toBe(0)
    expect(await seriousViolations(page)).toEqual([])
    await picture(page, 'login')
    await expect
      .poll(
        async () => {
          await page.getByLabel('Password').fill('open sesame')
          await page.getByRole('button', { name: 'Log in' }).click()
          return page
            .getByText('No queue yet')
            .waitFor({ timeout: 1500 })
            .then(() => true)
            .catch(() => false) // a failed login slows the next one down, with an answer that says so
        },
        { timeout: 20_000, interval: 500 },
      )
      .toBe(true)
    await page.locator('.pulse[data-state="live"]').waitFor()
    await page.reload()
    await page.getByText('No queue yet').waitFor()
    await page.goto(`${server.url}/server`)
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByLabel('Password').waitFor()
    expect(problems).toEqual([])
    await close()
    await server.stop()
    await rm(directory, { recursive: true })
  }, 60_000)
})
