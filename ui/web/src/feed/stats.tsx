import { createContext, type ReactNode, useContext } from 'react'
import type { Point } from '../api/types'
import { type Live, useTopic } from './react'

interface Stats {
  points: Point[]
}

/** Fifteen minutes of seconds. */
const kept = 900

const StatsContext = createContext<Live<Stats>>({ data: null, query: null, problem: null })

/** One subscription for the whole dashboard: the rail, the overview and the freshness of the feed live on it. */
export function StatsProvider({ children }: { children: ReactNode }) {
  const stats = useTopic<Stats>('stats', null, (before, delta) => ({
    points: [...before.points, ...(delta.up as Point[])].slice(-kept),
  }))
  return <StatsContext.Provider value={stats}>{children}</StatsContext.Provider>
}

/** The seconds, oldest first; empty until the first snapshot. */
export function usePoints(): Point[] {
  return useContext(StatsContext).data?.points ?? []
}
