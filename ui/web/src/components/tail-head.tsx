import { Eraser, Pause, Play } from 'lucide-react'
import { compact, exact, rate } from '../format/number'

interface Props {
  paused: boolean
  onPause: (paused: boolean) => void
  onClear: () => void
  rate: number
  dropped: number
  shown: number
}

/** The controls of a tail, and what it costs to watch: nothing is dropped unseen. */
export function TailHead({ paused, onPause, onClear, rate: perSecond, dropped, shown }: Props) {
  return (
    <>
      <button type="button" className="button small" onClick={() => onPause(!paused)}>
        {paused ? <Play aria-hidden /> : <Pause aria-hidden />} {paused ? 'Resume' : 'Pause'}
      </button>
      <button type="button" className="button small quiet" onClick={onClear}>
        <Eraser aria-hidden /> Clear
      </button>
      <span className="muted number">
        {compact(shown)} shown, {paused ? 'paused' : `${rate(perSecond)}/s`}
        {dropped > 0 && `, ${exact(dropped)} left out`}
      </span>
    </>
  )
}
