/** Where the dashboard lives: the server writes its prefix into <base>, so this is right behind any proxy. */
export const basePath = new URL(document.baseURI).pathname.replace(/\/$/, '')

/** What the server answered instead of a result. */
export class HttpProblem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message)
  }
}

export function problemOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

type Params = Record<string, string | number | boolean | null | undefined>

/** Told when the server wants a login; the session shows its form. */
let onLoginWanted: () => void = () => {}

export function whenLoginIsWanted(handler: () => void) {
  onLoginWanted = handler
}

export async function get<Result>(path: string, params: Params = {}, signal?: AbortSignal): Promise<Result> {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined) search.set(name, String(value))
  }
  const text = search.toString()
  return send<Result>(text ? `${path}?${text}` : path, signal ? { signal } : {})
}

export async function post<Result = unknown>(path: string, body: unknown = {}): Promise<Result> {
  return send<Result>(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  })
}

async function send<Result>(path: string, init: RequestInit): Promise<Result> {
  let response: Response
  try {
    response = await fetch(`${basePath}/api/${path}`, { ...init, credentials: 'same-origin' })
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new Error('The server cannot be reached')
  }
  const body: unknown = await response.json().catch(() => null)
  if (response.ok) return body as Result
  const { code, message } = readError(body)
  if (response.status === 401 && path !== 'login') onLoginWanted()
  throw new HttpProblem(response.status, code, message || `The server answered ${response.status}`)
}

function readError(body: unknown): { code: string; message: string } {
  const error = (body as { error?: { code?: unknown; message?: unknown } } | null)?.error
  return { code: String(error?.code ?? ''), message: String(error?.message ?? '') }
}
