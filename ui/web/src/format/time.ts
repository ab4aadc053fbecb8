const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

/** A span with at most two units: 90061000 → "1d 1h". Below a second it is milliseconds. */
export function span(milliseconds: number): string {
  const left = Math.max(0, milliseconds)
  if (left < second) return `${Math.round(left)} ms`
  if (left < 10 * second) return `${(Math.floor(left / 100) / 10).toFixed(1).replace(/\.0$/, '')}s`
  if (left < minute) return `${Math.floor(left / second)}s`
  if (left < hour) return pair(left, minute, 'm', second, 's')
  if (left < day) return pair(left, hour, 'h', minute, 'm')
  return pair(left, day, 'd', hour, 'h')
}

function pair(left: number, unit: number, name: string, rest: number, restName: string): string {
  const whole = Math.floor(left / unit)
  const remainder = Math.floor((left % unit) / rest)
  return remainder === 0 ? `${whole}${name}` : `${whole}${name} ${remainder}${restName}`
}

/** Microseconds as people read latencies: 850 → "850 µs", 12000 → "12 ms". */
export function micros(value: number): string {
  if (value < 1000) return `${Math.round(value)} µs`
  if (value < 1_000_000) return `${Math.round(value / (value < 10_000 ? 100 : 1000)) / (value < 10_000 ? 10 : 1)} ms`
  return `${Math.round(value / 100_000) / 10} s`
}

/** "12s ago", "in 5m"; the sign says which. */
export function relative(at: number, now: number): string {
  const distance = at - now
  if (Math.abs(distance) < second) return 'now'
  return distance > 0 ? `in ${span(distance)}` : `${span(-distance)} ago`
}

/** The local wall clock, to the millisecond: entries of one second are told apart. */
export function clock(at: number): string {
  const date = new Date(at)
  const two = (value: number) => String(value).padStart(2, '0')
  const thousandth = String(date.getMilliseconds()).padStart(3, '0')
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${thousandth}`
}

/** The local date and time as the reader's own locale writes it. */
export function moment(at: number): string {
  return new Date(at).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
}

/** "30s", "5m", "2h", "1d", "2w", "250ms", "1500" (milliseconds) → milliseconds; anything else is null. */
export function parseSpan(text: string): number | null {
  const match = /^(\d+)\s*(ms|s|m|h|d|w)?$/.exec(text.trim())
  if (!match) return null
  const factor = { ms: 1, s: second, m: minute, h: hour, d: day, w: 7 * day }[match[2] ?? 'ms'] ?? 1
  const value = Number(match[1]) * factor
  return Number.isSafeInteger(value) ? value : null
}
