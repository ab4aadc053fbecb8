import { useEffect, useRef } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { clock } from '../format/time'
import { useTheme } from '../theme'

export interface Series {
  label: string
  /** The name of a colour token: "queue" is var(--queue). */
  tone: string
  values: (number | null)[]
  fill?: boolean
  dash?: boolean
}

interface Props {
  label: string
  /** Unix seconds, ascending. */
  times: number[]
  series: Series[]
  format: (value: number) => string
  height?: number
  /** The most seconds that the axis covers, up to the newest. */
  seconds: number
  /** Charts of one page with the same group share their cursor. */
  group?: string
}

/** A young chart covers this many seconds: a single point is not stretched over the whole width. */
const shortest = 120

/** Pixels of the axis of values, and of a character of a label. */
const valuesWidth = 44
const labelCharacter = 6.5

/** A time chart. The newest value of each series stands in the legend, and that of the moment under the cursor. */
export function Chart({ label, times, series, format, height = 120, seconds, group }: Props) {
  const host = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const legend = useRef<HTMLUListElement>(null)
  const theme = useTheme()
  const latest = useRef({ times, series, format })
  latest.current = { times, series, format }
  const shape = series.map((line) => `${line.label}/${line.tone}/${line.fill}/${line.dash}`).join()

  // biome-ignore lint/correctness/useExhaustiveDependencies: the shape stands for the series; theme redraws the colours
  useEffect(() => {
    const element = host.current
    if (!element) return
    const style = getComputedStyle(element)
    const token = (name: string) => style.getPropertyValue(`--${name}`).trim()
    const axis = {
      stroke: token('ink-3'),
      font: `11px ${token('sans')}`,
      grid: { stroke: token('line'), width: 1 },
      ticks: { show: false },
    }
    const showValues = (chart: uPlot) => writeLegend(legend.current, latest.current, chart.cursor.idx ?? null)
    const options: uPlot.Options = {
      width: Math.max(element.clientWidth, 50),
      height,
      padding: [8, 0, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        points: { size: 6 },
        drag: { setScale: false },
        ...(group ? { sync: { key: group } } : {}),
      },
      scales: {
        x: { range: (_chart, low, high) => [Math.max(high - seconds, Math.min(low, high - shortest)), high] },
        y: { range: (_chart, _low, high) => [0, Math.max(high, 1) * 1.08] },
      },
      axes: [
        { ...axis, grid: { show: false }, size: 22, space: 70, values: timeLabels },
        {
          ...axis,
          size: valuesWidth,
          space: 34,
          gap: 4,
          values: (_chart, ticks) =>
            ticks.map((tick) => (Number.isInteger(tick) || tick < 1 ? latest.current.format(tick) : '')),
        },
      ],
      series: [
        {},
        ...asDrawn(series).map((line) => ({
          label: line.label,
          stroke: token(line.tone),
          width: 1.5,
          points: { show: false },
          ...(line.dash ? { dash: [4, 3] } : {}),
          ...(line.fill ? { fill: `color-mix(in srgb, ${token(line.tone)} 12%, transparent)` } : {}),
        })),
      ],
      hooks: { setCursor: [showValues], setData: [showValues] },
    }
    const chart = new uPlot(options, toData(latest.current), element)
    plot.current = chart
    const resize = new ResizeObserver(() => chart.setSize({ width: Math.max(element.clientWidth, 50), height }))
    resize.observe(element)
    return () => {
      resize.disconnect()
      chart.destroy()
      plot.current = null
    }
  }, [shape, theme, height, seconds, group])

  useEffect(() => {
    plot.current?.setData(toData({ times, series }))
  }, [times, series])

  return (
    <figure className="chart" aria-label={label}>
      <div ref={host} className="chart-canvas" style={{ ['--chart-height' as string]: `${height}px` }} aria-hidden />
      <ul className="legend" ref={legend}>
        {series.map((line) => (
          <li key={line.label} style={{ ['--tone' as string]: `var(--${line.tone})` }}>
            {line.label} <b>{lastValue(line, format)}</b>
          </li>
        ))}
      </ul>
    </figure>
  )
}

/** Hours and minutes; seconds too where the ticks are less than a minute apart. A label that would not fit is left out. */
function timeLabels(chart: uPlot, ticks: number[], _axis: number, _space: number, step: number): string[] {
  const characters = step < 60 ? 8 : 5
  const { min = 0, max = 0 } = chart.scales.x ?? {}
  const secondsPerPixel = (max - min) / (chart.width - valuesWidth)
  const last = max - (characters / 2) * labelCharacter * secondsPerPixel
  return ticks.map((tick) => (tick <= last ? clock(tick * 1000).slice(0, characters) : ''))
}

/** Dashed lines are there to compare: drawn first, they do not hide what they are compared with. */
function asDrawn(series: Series[]): Series[] {
  return [...series.filter((line) => line.dash), ...series.filter((line) => !line.dash)]
}

function toData({ times, series }: { times: number[]; series: Series[] }): uPlot.AlignedData {
  return [times, ...asDrawn(series).map((line) => line.values)]
}

function lastValue(line: Series, format: (value: number) => string): string {
  const value = line.values[line.values.length - 1]
  return value === null || value === undefined ? '–' : format(value)
}

/** The legend follows the cursor at pointer speed, past React: a render per pointer event would be felt. */
function writeLegend(
  list: HTMLUListElement | null,
  data: { series: Series[]; format: (value: number) => string },
  index: number | null,
) {
  data.series.forEach((line, position) => {
    const text = list?.children[position]?.querySelector('b')?.firstChild
    const value = index === null ? null : line.values[index]
    if (text) text.nodeValue = value === null || value === undefined ? lastValue(line, data.format) : data.format(value)
  })
}
