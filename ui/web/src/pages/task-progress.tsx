import { useQuery } from '@tanstack/react-query'
import { useEffect } from 'react'
import { cancelTask, fetchTask } from '../api/task'
import type { Task } from '../api/types'
import { Dialog } from '../components/dialog'
import { tell } from '../components/toast'
import { exact } from '../format/number'
import { problemOf } from '../http/client'

const askEvery = 300

interface Props {
  id: string
  title: string
  /** What the end says: "Deleted 12 keys". */
  says: (done: number) => string
  onEnd: () => void
  onClose: () => void
}

/** How far a task of the server is, with a way to stop it. It goes on when the dialog is closed. */
export function TaskProgress({ id, title, says, onEnd, onClose }: Props) {
  const { data: task, error } = useQuery({
    queryKey: ['task', id],
    queryFn: () => fetchTask(id),
    refetchInterval: (query) => (query.state.data?.finished ? false : askEvery),
  })
  // biome-ignore lint/correctness/useExhaustiveDependencies: an end is told once
  useEffect(() => {
    if (!task?.finished) return
    if (task.error) tell(task.error, 'bad')
    else tell(`${says(task.done)}${task.cancelled ? ', then stopped' : ''}`)
    onEnd()
    onClose()
  }, [task?.finished])
  const stop = () => cancelTask(id).catch((problem) => tell(problemOf(problem), 'bad'))
  const share = (part: Task) => (part.total > 0 ? part.done / part.total : 0)
  return (
    <Dialog title={title} onClose={onClose}>
      <div className="dialog-body">
        {error && <p className="problem">{problemOf(error)}</p>}
        <p role="status" className="number">
          {task ? `${exact(task.done)} of ${exact(task.total)}` : 'Starting'}
        </p>
        <div className="meter">
          <span style={{ width: `${task ? share(task) * 100 : 0}%` }} />
        </div>
        <footer>
          <button type="button" className="button" onClick={onClose}>
            Go on in the background
          </button>
          <button type="button" className="button danger" onClick={stop}>
            Stop
          </button>
        </footer>
      </div>
    </Dialog>
  )
}
