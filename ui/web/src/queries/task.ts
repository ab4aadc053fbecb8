import { fetchTask } from '../api/queue'
import type { Task } from '../api/types'

const askEvery = 250

/** Follows a job of the server to its end and answers how much it did; its failure is thrown. */
export async function waitForTask(id: string, onProgress: (task: Task) => void): Promise<number> {
  for (;;) {
    const task = await fetchTask(id)
    onProgress(task)
    if (task.error) throw new Error(task.error)
    if (task.finished) return task.done
    await new Promise((again) => setTimeout(again, askEvery))
  }
}
