/** Timers without the limit of Node's, which fire at once when they are to wait for more than 24.8 days. */

/** The longest that a timer of Node can wait. */
export const longestTimerMs = 2 ** 31 - 1;

export interface Timer {
  cancel(): void;
}

/** Runs something once, after so long; never when that is Infinity. */
export function after(milliseconds: number, run: () => void): Timer {
  const due = performance.now() + milliseconds;
  let timer: NodeJS.Timeout | undefined;
  const wait = (): void => {
    const left = due - performance.now();
    timer = left > longestTimerMs ? setTimeout(wait, longestTimerMs) : setTimeout(run, Math.max(0, Math.ceil(left)));
  };
  if (milliseconds !== Number.POSITIVE_INFINITY) wait();
  return { cancel: () => clearTimeout(timer) };
}

/** Runs something again and again, each time after so long. */
export function every(milliseconds: number, run: () => void): Timer {
  const again = (): Timer =>
    after(milliseconds, () => {
      timer = again();
      run();
    });
  let timer = again();
  return { cancel: () => timer.cancel() };
}

/** Resolves after so long, or as soon as the signal is aborted. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const end = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = after(milliseconds, end);
    signal?.addEventListener('abort', end, { once: true });
  });
}
