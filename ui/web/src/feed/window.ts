import { useCallback, useRef, useState } from 'react'
import { useAddress } from '../address'

/** The server sends windows of this many rows; a screen shows about thirty. */
const windowSize = 120
const stepSize = 40

/** The query of a windowed state topic that follows the scroll position of its table. */
export function useWindowQuery<Query extends object>(query: Query) {
  const [from, setFrom] = useState(0)
  const identity = JSON.stringify(query)
  const shownFor = useRef(identity)
  if (shownFor.current !== identity) {
    shownFor.current = identity
    if (from !== 0) setFrom(0)
  }
  const onWindow = useCallback((first: number) => setFrom(Math.max(0, Math.floor(first / stepSize) - 1) * stepSize), [])
  return { query: { ...query, from, n: windowSize }, onWindow }
}

/** The order of a table, kept in the address: "name" or "-dead". */
export function useSorted(initial: string) {
  const { get, set } = useAddress()
  const sort = get('sort') ?? initial
  const sortable = (id: string, title: string, largestFirst = false) => {
    const ascending = sort === id
    const descending = sort === `-${id}`
    const first = largestFirst ? `-${id}` : id
    const other = largestFirst ? id : `-${id}`
    return {
      id,
      title,
      onSort: () => set({ sort: sort === first ? other : first }),
      sorted: ascending ? ('ascending' as const) : descending ? ('descending' as const) : undefined,
    }
  }
  return { sort, sortable }
}
