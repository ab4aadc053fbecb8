/* Every change that the dashboard offers, made in the browser and looked for in the broker. */
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { launch, openPage, picture } from './browser'
import { makeDead } from './seed'
import { Server } from './server'

let browser: Browser
let server: Server
let page: Page
let done: () => Promise<void>
let problems: string[]

beforeAll(async () => {
  browser = await launch()
  server = await Server.start()
})

afterAll(async () => {
  await browser.close()
  await server.stop()
})

beforeEach(async () => {
  const opened = await openPage(browser)
  page = opened.page
  page.setDefaultTimeout(8000)
  problems = opened.problems
  done = opened.close
})

afterEach(async (context) => {
  // What the page showed says more about a failure than the line that waited.
  if (context.task.result?.state === 'fail') await picture(page, `failed-${context.task.name.slice(0, 40)}`)
  expect(problems).toEqual([])
  await done()
})

const visit = (path: string) => page.goto(server.url + path)
const press = (name: string | RegExp) =>
  page
    .getByRole('button', { name, exact: typeof name === 'string' })
    .first()
    .click()
/** The button of the open dialog. */
const confirm = (name: string) => page.locator('dialog').getByRole('button', { name, exact: true }).click()
const fill = (label: string | RegExp, text: string) => page.locator('dialog').getByLabel(label).fill(text)
const told = (text: string | RegExp) => page.getByRole('status').getByText(text).first().waitFor()
const typeName = (name: string) => page.locator('dialog').getByLabel(/^Type/).fill(name)

describe('queues', () => {
  it('are made, filled, paused, resumed, configured, purged and dropped', async () => {
    await visit('/queues')
    await press('New queue')
    await fill('Name', 'work')
    await fill(/^Lease/, '45s')
    await confirm('Create')
    await told('Made work')
    expect(await server.cli('QCONFIG', 'GET', 'work', 'lease')).toContain('45000')

    await press('Push a job')
    await fill('Payload', '{"n":1}')
    await fill(/^Priority/, '7')
    await confirm('Push')
    await told('Pushed job 1')
    expect(await server.cli('QPEEK', 'work')).toMatch(/\{"n":1\}[\s\S]*priority\n7/)
    await page.getByRole('row').getByText('{"n":1}').waitFor()

    await press('Pause')
    await confirm('Pause')
    await page.getByText('paused: gives no jobs').waitFor()
    expect(await server.cli('QINFO', 'work')).toMatch(/paused\nout/)
    await press('Resume')
    await told('Resumed work')
    expect(await server.cli('QINFO', 'work')).toMatch(/paused\nnone/)

    await press('Config')
    await fill('maxattempts', '9')
    await confirm('Save')
    await told('Changed maxattempts')
    expect(await server.cli('QCONFIG', 'GET', 'work', 'maxattempts')).toContain('9')

    await press('Purge')
    await page
      .locator('dialog')
      .getByLabel(/^Ready/)
      .check()
    await typeName('work')
    await confirm('Delete the jobs')
    await told('Deleted 1 job')
    expect(await server.cli('QLEN', 'work')).toBe('0')

    await press('Drop the queue')
    await typeName('work')
    await page.locator('dialog').getByRole('button', { name: 'Drop the queue' }).click()
    await told('Dropped work')
    expect(await server.cli('QEXISTS', 'work')).toBe('0')
  })

  it('refuse a bad name with the words of the server, and change nothing', async () => {
    await visit('/queues')
    await press('New queue')
    await fill('Name', 'x'.repeat(201))
    await confirm('Create')
    await page.locator('dialog').getByRole('alert').waitFor()
    expect(await server.cli('QLIST', 'MATCH', 'x*')).not.toContain('xxx')
  })

  it('replay and delete dead jobs: one, the chosen, all that match', async () => {
    const [alpha, beta, gamma] = await makeDead(
      server,
      'dead',
      ['alpha', 'beta', 'gamma', 'match-1', 'match-2', 'match-3'],
      'no such user',
    )
    await visit('/queue?name=dead&state=dead')
    await page.getByRole('row').getByText('alpha').click()
    await page.getByRole('heading', { name: `Job ${alpha}` }).waitFor()
    await page
      .getByRole('region', { name: `Job ${alpha}` })
      .getByRole('button', { name: 'Replay' })
      .click()
    await told('Replayed 1 job')
    expect(await server.cli('QLEN', 'dead', 'READY')).toBe('1')

    await page.getByLabel(`Choose job ${beta}`).check()
    await page.getByLabel(`Choose job ${gamma}`).check()
    await page.getByText('2 chosen').waitFor()
    await page.getByText('held still').waitFor()
    await press('Delete')
    await confirm('Delete')
    await told('Deleted 2 jobs')
    expect(await server.cli('QDLQ', 'LEN', 'dead')).toBe('3')

    const boxes = page.getByRole('checkbox')
    await boxes.first().click()
    await boxes.last().click({ modifiers: ['Shift'] })
    await page.getByText('3 chosen').waitFor()
    await press('Choose none')

    await page.getByLabel('Search in payloads and reasons').fill('match-')
    await page.getByText('3 jobs found').waitFor()
    await press('Replay all matching')
    await page.locator('dialog').getByText('3 jobs').waitFor()
    await confirm('Replay')
    await told('Replayed 3 jobs')
    expect(await server.cli('QDLQ', 'LEN', 'dead')).toBe('0')
    expect(await server.cli('QLEN', 'dead', 'READY')).toBe('4')

    await visit('/queue?name=dead&match=nothing')
    await page.getByText('No job here has').waitFor()
    expect(await page.getByRole('button', { name: 'Delete all matching' }).isDisabled()).toBe(true)

    await visit('/queue?name=dead&match=match-')
    await press('Delete all matching')
    await typeName('dead')
    await confirm('Delete')
    await told('Deleted 3 jobs')
    expect(await server.cli('QLEN', 'dead', 'READY')).toBe('1')
  })

  it('are searched by the reason of their failure, and replayed by it', async () => {
    const [first] = await makeDead(server, 'mails', ['to ada', 'to bob'], 'certificate has expired')
    await makeDead(server, 'mails', ['certificate for eve'], 'mailbox full')
    await visit('/queue?name=mails&state=dead')
    await page.getByLabel('Search in payloads and reasons').fill('certificate')
    await page.getByText('3 jobs found').waitFor()
    await page.getByLabel('Search in payloads and reasons').fill('')
    await visit(`/queue?name=mails&state=dead&job=${first}`)
    await press('All with this reason')
    await page.getByText('2 jobs found').waitFor()
    await page.getByText('reason: certificate has expired').waitFor()
    await picture(page, 'reason')
    await press('Replay all matching')
    await page.locator('dialog').getByText('2 jobs with "certificate has expired" in the reason').waitFor()
    await confirm('Replay')
    await told('Replayed 2 jobs')
    expect(await server.cli('QDLQ', 'LEN', 'mails')).toBe('1')
    await page.keyboard.press('Escape')
    await press('Any reason')
    await page.getByRole('row').getByText('certificate for eve').waitFor()
  })
})

describe('streams', () => {
  it('tell how many consumers of a group work, and who only holds entries', async () => {
    await server.pipeline([
      ['XAPPEND', 'steps', 'one'],
      ['XGCREATE', 'steps', 'walkers', 'START', 'first'],
    ])
    await server.cli('XCONSUME', 'steps', 'walkers', 'gone') // leaves with an entry in hand
    const socket = await server.connect('walker')
    const answered = new Promise((done) => socket.once('data', done))
    socket.write('XCONSUME steps walkers here\r\n')
    await answered
    await visit('/stream?name=steps&tab=groups')
    const group = page.getByRole('region', { name: 'Group walkers' })
    await group.getByText('held by 1').waitFor()
    const workers = group.locator('.figure', { hasText: 'Workers' }).locator('dd')
    await expect.poll(() => workers.textContent()).toBe('1')
    socket.destroy()
    await expect.poll(() => workers.textContent()).toBe('0')
  })

  it('are made, appended to, verified, configured and dropped', async () => {
    await visit('/streams')
    await press('New stream')
    await fill('Name', 'events')
    await page
      .locator('dialog')
      .getByLabel(/SHA-256/)
      .check()
    await confirm('Create')
    await told('Made events')
    expect(await server.cli('XCONF', 'events', 'GET', 'integrity')).toContain('CHAIN')

    await press('Append')
    await fill('Payload', '{"order":77}')
    await confirm('Append')
    await told('Appended at offset 1')
    expect(await server.cli('XFETCH', 'events', 'first')).toContain('{"order":77}')

    await press('Verify')
    await page.getByRole('heading', { name: 'The chain holds' }).waitFor()
    await page.keyboard.press('Escape')

    await press('Config')
    await fill('maxlen', '500')
    await confirm('Save')
    await told('Changed maxlen')
    expect(await server.cli('XCONF', 'events', 'GET', 'maxlen')).toContain('500')

    await press('Drop the stream')
    await typeName('events')
    await page.locator('dialog').getByRole('button', { name: 'Drop the stream' }).click()
    await told('Dropped events')
    expect(await server.cli('XEXISTS', 'events')).toBe('0')
  })

  it('follow new entries live', async () => {
    await server.cli('XAPPEND', 'live', 'before')
    await visit('/stream?name=live&tab=tail')
    await page.getByText('Waiting for entries').waitFor()
    await expect
      .poll(async () => {
        await server.cli('XAPPEND', 'live', 'seen-live')
        return page.getByRole('row').getByText('seen-live').count()
      })
      .toBeGreaterThan(0)
    await press(/^Pause/)
    await page.getByText('paused', { exact: false }).first().waitFor()
  })

  it('make, seek and drop groups, and give parked entries back', async () => {
    await server.pipeline([
      ['XAPPEND', 'log', 'one'],
      ['XAPPEND', 'log', 'two'],
    ])
    await visit('/stream?name=log&tab=groups')
    await press('New group')
    await fill('Name', 'billing')
    await confirm('Create')
    await told('Made group billing')
    await server.cli('XCONSUME', 'log', 'billing', 'worker')
    await server.cli('XNACK', 'log', 'billing', 'FATAL', 'IDS', '1', '1', 'REASON', 'cannot parse')
    await page.getByRole('button', { name: '1 parked' }).click()
    await page.getByRole('row').getByText('cannot parse').waitFor()
    await press('Give back entry 1')
    await told('Gave back 1 entry')
    expect(await server.cli('XSTAT', 'log', 'billing')).toMatch(/parked\n0/)

    await server.cli('XCONSUME', 'log', 'billing', 'worker')
    await server.cli('XNACK', 'log', 'billing', 'FATAL', 'IDS', '1', '1', 'REASON', 'cannot parse')
    await server.cli('XNACK', 'log', 'billing', 'FATAL', 'IDS', '1', '2', 'REASON', 'too old')
    await page.getByRole('button', { name: '2 parked' }).waitFor()
    await page.reload()
    await page.getByRole('row').getByText('too old').waitFor()
    await press('Give all back')
    await told('Gave back 2 entries')
    expect(await server.cli('XSTAT', 'log', 'billing')).toMatch(/parked\n0/)

    await press('Seek')
    await fill(/^Go on at/, 'next')
    await confirm('Seek')
    await told('billing goes on at offset 3')
    expect(await server.cli('XSTAT', 'log', 'billing')).toMatch(/lag\n0/)

    await press('Drop group billing')
    await typeName('billing')
    await confirm('Drop the group')
    await told('Dropped group billing')
    expect(await server.cli('XSTAT', 'log')).toMatch(/groups\n0/)
  })

  it('drop what a group has parked, and nothing else', async () => {
    await server.pipeline(['one', 'two', 'three'].map((payload) => ['XAPPEND', 'ledger', payload]))
    await server.cli('XGCREATE', 'ledger', 'audit')
    await server.cli('XCONSUME', 'ledger', 'audit', 'worker', 'COUNT', '3')
    for (const offset of ['1', '3'])
      await server.cli('XNACK', 'ledger', 'audit', 'FATAL', 'IDS', '1', offset, 'REASON', 'no')
    await visit('/stream?name=ledger&tab=groups&parked=audit')
    await page.getByRole('row').getByText('three').waitFor()
    await press('Drop all')
    expect(await page.locator('dialog').getByRole('button', { name: 'Drop', exact: true }).isDisabled()).toBe(true)
    await typeName('audit')
    await confirm('Drop')
    await told('Dropped 2 entries')
    await page.getByText('Nothing is parked').waitFor()
    const group = await server.cli('XSTAT', 'ledger', 'audit')
    expect(group).toMatch(/parked\n0/)
    expect(group).toMatch(/pending\n1/)
    expect(await server.cli('XLEN', 'ledger')).toBe('3')
  })
})

describe('the store', () => {
  it('sets, edits, expires and deletes keys', async () => {
    await visit('/store')
    await press('New key')
    await fill('Key', 'user:1')
    await fill('Value', '{"name":"ada"}')
    await confirm('Set')
    await told('Set user:1')
    expect(await server.cli('NGET', 'user:1')).toBe('{"name":"ada"}')

    await press('Edit')
    await fill('Value', '{"name":"grace"}')
    await confirm('Save')
    await told('Saved user:1')
    expect(await server.cli('NGET', 'user:1')).toBe('{"name":"grace"}')

    await press('Expiry')
    await fill(/^Expires in/, '1h')
    await confirm('Set')
    await told('user:1 expires in 1h')
    expect(Number(await server.cli('NTTL', 'user:1'))).toBeGreaterThan(3_500_000)

    await press('Expiry')
    await fill(/^Expires in/, '')
    await confirm('Set')
    await told('user:1 never expires')
    expect(await server.cli('NTTL', 'user:1')).toBe('-1')

    await press('Delete the key')
    await confirm('Delete')
    await told('Deleted user:1')
    expect(await server.cli('NEXISTS', 'user:1')).toBe('0')
  })

  it('opens, edits and deletes the key whose name is empty', async () => {
    await server.cli('-n', '5', 'SET', '', 'nameless')
    await visit('/store?db=5')
    await page.getByRole('row').getByText('(the empty key)').click()
    await page.getByText('nameless').waitFor()
    expect(new URL(page.url()).searchParams.get('key')).toBe('')
    await press('Edit')
    await fill('Value', 'changed')
    await confirm('Save')
    await expect.poll(() => server.cli('-n', '5', 'GET', '')).toBe('changed')
    await page.reload()
    await page.getByRole('heading', { name: 'The empty key' }).waitFor()
    await press('Delete the key')
    await confirm('Delete')
    await told('Deleted the empty key')
    expect(await server.cli('-n', '5', 'EXISTS', '')).toBe('0')
  })

  it('never overwrites what somebody else wrote meanwhile', async () => {
    await server.cli('NSET', 'shared', 'first')
    await visit('/store?key=shared')
    await press('Edit')
    await fill('Value', 'mine')
    await server.cli('NSET', 'shared', 'theirs')
    await confirm('Save')
    await page.locator('dialog').getByRole('alert').getByText('Somebody changed this key').waitFor()
    expect(await server.cli('NGET', 'shared')).toBe('theirs')
  })

  it('goes into folders and deletes all below', async () => {
    await server.cli('NSET', 'card', 'kept')
    await server.pipeline(Array.from({ length: 25 }, (_, index) => ['NSET', `cart:${index}:items`, 'x']))
    await visit('/store')
    await page.getByRole('row').getByText('cart', { exact: true }).click()
    await page.getByRole('row').getByText('24', { exact: true }).waitFor()
    await press('Delete all below')
    await page.locator('dialog').getByText('25 keys').waitFor()
    await typeName('cart:')
    await confirm('Delete the keys')
    await told('Deleted 25 keys')
    expect(await server.cli('EXISTS', 'cart:1:items')).toBe('0')
    expect(await server.cli('NGET', 'card')).toBe('kept')
  })

  it('edits the whole of a value that is longer than what is shown', async () => {
    const long = 'ü'.repeat(4000)
    await server.cli('NSET', 'essay', `${long} end`)
    await visit('/store?key=essay')
    await press('Edit')
    await fill('Value', `${long} the end`)
    await confirm('Save')
    await told('Saved essay')
    expect(await server.cli('NGET', 'essay')).toBe(`${long} the end`)
  })
})

describe('pub/sub', () => {
  it('publishes, shows it live and deletes what is retained', async () => {
    await visit('/pubsub')
    await page.getByText('Waiting for messages').waitFor()
    await press('Publish')
    await fill('Topic', 'plant/oven')
    await fill('Payload', 'hot')
    await page
      .locator('dialog')
      .getByLabel(/^Retain/)
      .check()
    await confirm('Publish')
    await told(/Delivered to/)
    await page.getByRole('row').getByText('plant/oven').waitFor()
    expect(await server.cli('NRETAINED', '#')).toContain('hot')

    await page.getByRole('link', { name: 'Retained' }).click()
    await page.getByRole('row').getByText('plant/oven').click()
    await press('Delete')
    await told('Deleted 1 retained message')
    expect(await server.cli('NRETAINED', '#')).not.toContain('hot')
  })

  it('lists who subscribes with a wildcard, and is no subscriber itself', async () => {
    await visit('/pubsub')
    await page.getByText('Waiting for messages').waitFor()
    const socket = await server.connect('listener')
    const answered = new Promise((done) => socket.once('data', done))
    socket.write('PSUBSCRIBE news.*\r\n')
    await answered
    expect(await server.cli('PUBLISH', 'news.local', 'x')).toBe('1')
    expect(await server.cli('PUBSUB', 'NUMPAT')).toBe('1')
    await page.getByRole('link', { name: 'Wildcards' }).click()
    await page.getByRole('row').getByText('news.*').click()
    await page.getByRole('region', { name: 'Subscribers of news.*' }).getByText('listener').waitFor()
    socket.destroy()
  })

  it('finds retained messages by a filter and deletes all that match', async () => {
    const topics = ['plant/1/temperature', 'plant/2/temperature', 'plant/2/state', 'home/temperature']
    await server.pipeline(topics.map((topic) => ['NPUB', topic, 'retained-here', 'RETAIN']))
    await visit('/pubsub?tab=retained')
    await page.getByRole('row').getByText('home/temperature').waitFor()
    await page.getByLabel(/^Filter/).fill('plant/+/temperature')
    await page.getByText('2 messages found').waitFor()
    expect(await page.getByRole('row').getByText('plant/2/state').count()).toBe(0)
    expect(new URL(page.url()).searchParams.get('filter')).toBe('plant/+/temperature')
    await press('Delete all matching')
    await typeName('plant/+/temperature')
    await confirm('Delete')
    await told('Deleted 2 retained messages')
    await page.getByText('No retained message').waitFor()
    const left = await server.cli('NRETAINED', '#')
    expect(left).not.toMatch(/plant\/\d\/temperature/)
    expect(left).toContain('plant/2/state')
    expect(left).toContain('home/temperature')
    await page.getByLabel(/^Filter/).fill('plant/#/state')
    await page.getByText(/must be last/).waitFor()
    expect(await page.getByText('Loading').count()).toBe(0)
  })
})

describe('the server', () => {
  it('closes clients', async () => {
    const other = await server.connect('left-alone')
    const victim = await server.connect('victim')
    await visit('/clients')
    await page.getByRole('row').getByText('left-alone').waitFor()
    await page.getByLabel(/^Find by name/).fill('vict')
    await page.getByText('1 client', { exact: true }).waitFor()
    expect(await page.getByRole('row').getByText('left-alone').count()).toBe(0)
    await page
      .getByRole('row', { name: /victim/ })
      .getByRole('button')
      .click()
    await confirm('Close the connection')
    await told(/^Closed /)
    await expect.poll(() => victim.destroyed || victim.closed).toBe(true)
    const list = await server.cli('CLIENT', 'LIST')
    expect(list).not.toContain('name=victim')
    expect(list).toContain('name=left-alone')
    other.destroy()
  })

  it('changes settings and clears the slow log', async () => {
    await visit('/server?tab=config&filter=slowlog-max-len')
    await press('Change slowlog-max-len')
    await fill('Value', '99')
    await confirm('Set')
    await told('Set slowlog-max-len')
    expect(await server.cli('CONFIG', 'GET', 'slowlog-max-len')).toContain('99')

    await server.cli('CONFIG', 'SET', 'slowlog-log-slower-than', '0')
    await server.cli('CONFIG', 'SET', 'slowlog-log-slower-than', '10000')
    await visit('/slowlog')
    await page.getByRole('row').getByText('CONFIG').first().waitFor()
    await press('Clear')
    await confirm('Clear')
    await told('Cleared the slow log')
    expect(await server.cli('SLOWLOG', 'LEN')).toBe('0')

    await page.getByText('Commands slower than 10 ms;').waitFor()
    await press('Threshold')
    await fill(/^Milliseconds/, '2.5')
    await confirm('Set')
    await page.getByText('Commands slower than 2.5 ms;').waitFor()
    expect(await server.cli('CONFIG', 'GET', 'slowlog-log-slower-than')).toContain('2500')
    await server.cli('CONFIG', 'SET', 'slowlog-log-slower-than', '10000')
    expect(await page.title()).toBe('Slow log · Nexo')
  })

  it('runs commands, completes their names and refuses those that wait', async () => {
    await visit('/console')
    const prompt = page.getByRole('combobox')
    await prompt.fill('qpus')
    await page.getByRole('option', { name: /QPUSH/ }).waitFor()
    await prompt.press('Tab')
    await prompt.pressSequentially(`typed '{"by": "hand"}'`)
    await prompt.press('Enter')
    await page
      .getByRole('log')
      .locator('pre')
      .getByText(/^"\d+"$/)
      .waitFor()
    expect(await server.cli('QPEEK', 'typed')).toContain('{"by": "hand"}')
    await prompt.fill('SUBSCRIBE news')
    await prompt.press('Enter')
    await page.getByRole('log').getByText('Use redis-cli').waitFor()
  })
})
