import { createContext, useContext } from 'react'

/** The port that clients connect to. The commands that pages propose are written for the usual one. */
export const ClientPort = createContext(7654)

export function useHint(command: string): string {
  const port = useContext(ClientPort)
  return command.replaceAll('-p 7654', `-p ${port}`)
}
