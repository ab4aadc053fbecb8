import { useQuery, useQueryClient } from '@tanstack/react-query'
import { createContext, type ReactNode, type SubmitEvent, useContext, useEffect, useState } from 'react'
import type { Session } from './api/types'
import { Empty } from './components/panel'
import { ClientPort } from './hints'
import { basePath, get, post, problemOf, whenLoginIsWanted } from './http/client'

const SessionContext = createContext<Session | null>(null)

export function useSession(): Session {
  const session = useContext(SessionContext)
  if (!session) throw new Error('useSession outside of SessionGate')
  return session
}

/** Who logged in with this browser; a server without a password asks nobody. The cookie itself is not readable. */
const loginKey = 'nexo.login'

export function loggedInAs(): string | null {
  return localStorage.getItem(loginKey)
}

export async function logOut() {
  await post('logout')
  localStorage.removeItem(loginKey)
  location.reload()
}

/** Shows the dashboard to whoever may see it, and the login to everybody else. */
export function SessionGate({ children }: { children: ReactNode }) {
  const queries = useQueryClient()
  const session = useQuery({
    queryKey: ['session'],
    queryFn: () => get<Session>('session'),
    retry: true,
    retryDelay: 2000,
  })
  useEffect(() => whenLoginIsWanted(() => queries.invalidateQueries({ queryKey: ['session'] })), [queries])
  if (session.data?.login) return <Login />
  if (session.data) {
    return (
      <SessionContext.Provider value={session.data}>
        <ClientPort.Provider value={session.data.port}>{children}</ClientPort.Provider>
      </SessionContext.Provider>
    )
  }
  const lost = session.failureCount > 0
  return (
    <main className="gate">
      <Empty title={lost ? 'The server cannot be reached' : 'Connecting'}>
        {lost ? `${problemOf(session.failureReason)}. Trying again every two seconds.` : undefined}
      </Empty>
    </main>
  )
}

function Login() {
  const [user, setUser] = useState('default')
  const [password, setPassword] = useState('')
  const [problem, setProblem] = useState<string | null>(null)
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    try {
      await post('login', { user, password })
      localStorage.setItem(loginKey, user)
      location.reload()
    } catch (error) {
      setProblem(problemOf(error))
    }
  }
  return (
    <main className="gate">
      <form className="login" onSubmit={submit}>
        <h1 className="row">
          <img src={`${basePath}/icon.svg`} alt="" width={28} height={28} /> Nexo
        </h1>
        <p className="muted">The user and password that clients give to AUTH.</p>
        <label className="field">
          <span>User</span>
          <input
            className="input"
            value={user}
            autoComplete="username"
            onChange={(event) => setUser(event.target.value)}
          />
        </label>
        <label className="field">
          <span>Password</span>
          <input
            className="input"
            type="password"
            value={password}
            autoComplete="current-password"
            onChange={(event) => setPassword(event.target.value)}
          />
        </label>
        {problem && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
        <button type="submit" className="button primary">
          Log in
        </button>
      </form>
    </main>
  )
}
