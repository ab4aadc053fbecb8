/* A real nexo in a directory of its own, and a redis-cli to look at it with. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll } from 'vitest'

const binary = resolve(process.env.NEXO_BIN ?? '../../bin/nexo')
const run = promisify(execFile)

async function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer()
    server.on('error', fail)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => (address && typeof address === 'object' ? done(address.port) : fail(new Error('no port'))))
    })
  })
}

/** A test that fails does not come to stop its server: what still runs after the file is ended then. */
const running = new Set<ChildProcess>()
afterAll(() => {
  for (const child of running) child.kill('SIGKILL')
})

export class Server {
  private process: ChildProcess | null = null
  private output = ''

  private constructor(
    readonly port: number,
    readonly dashboardPort: number,
    private readonly directory: string,
    private readonly options: string[],
  ) {}

  static async start(...options: string[]): Promise<Server> {
    const directory = await mkdtemp(join(tmpdir(), 'nexo-dashboard-'))
    const server = new Server(await freePort(), await freePort(), directory, options)
    await server.up()
    return server
  }

  get url(): string {
    return `http://127.0.0.1:${this.dashboardPort}`
  }

  /** Starts the process, also after kill: on the same ports and data. */
  async up(): Promise<void> {
    const { port, dashboardPort, directory, options } = this
    const flags = ['--port', String(port), '--dashboard-port', String(dashboardPort), '--data', directory]
    const child = spawn(binary, ['server', ...flags, ...options], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.process = child
    running.add(child)
    child.once('exit', () => running.delete(child))
    const collect = (chunk: Buffer) => {
      this.output = (this.output + chunk.toString()).slice(-20_000)
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    const deadline = Date.now() + 20_000
    for (;;) {
      if (child.exitCode !== null) throw new Error(`nexo ended with ${child.exitCode}:\n${this.output}`)
      const ready = await fetch(`${this.url}/readyz`).catch(() => null)
      if (ready?.ok) return
      if (Date.now() > deadline) throw new Error(`nexo is not ready:\n${this.output}`)
      await new Promise((again) => setTimeout(again, 50))
    }
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const process = this.process
    this.process = null
    if (!process || process.exitCode !== null) return
    const ended = new Promise((done) => process.once('exit', done))
    process.kill(signal)
    await ended
  }

  /** Stops the process where it is (SIGSTOP), and lets it go on (SIGCONT). */
  signal(signal: 'SIGSTOP' | 'SIGCONT') {
    this.process?.kill(signal)
  }

  async stop(): Promise<void> {
    await this.kill('SIGTERM')
    await rm(this.directory, { recursive: true, force: true })
  }

  /** What redis-cli says, as it prints it into a pipe. */
  async cli(...words: string[]): Promise<string> {
    const { stdout } = await run('redis-cli', ['-p', String(this.port), ...words])
    return stdout.trimEnd()
  }

  /** A client that stays connected under a name. */
  async connect(name: string): Promise<Socket> {
    const socket = connect(this.port, '127.0.0.1')
    const answered = new Promise((done, fail) => socket.once('data', done).once('error', fail))
    socket.write(`CLIENT SETNAME ${name}\r\n`)
    await answered
    socket.on('error', () => {}) // being cut off is what the tests do to it
    return socket
  }

  /** Sends many commands in one pipeline and waits until each is answered by something that is no error. */
  async pipeline(commands: string[][]): Promise<void> {
    const socket = connect(this.port, '127.0.0.1')
    const text = commands.map(
      (words) => `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`,
    )
    const end = 'pipeline-end'
    socket.write(`${text.join('')}*2\r\n$4\r\nECHO\r\n$${end.length}\r\n${end}\r\n`)
    await new Promise<void>((done, fail) => {
      let seen = ''
      socket.on('error', fail)
      socket.on('close', () => fail(new Error('the server closed the pipeline')))
      socket.on('data', (chunk) => {
        const fresh = seen + chunk.toString('latin1')
        const error = /(?:^|\r\n)-([^\r]*)\r\n/.exec(fresh)
        if (error) return fail(new Error(error[1]))
        if (fresh.includes(end)) done()
        seen = fresh.slice(-200)
      })
    }).finally(() => socket.destroy())
  }
}
