const grouped = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 })
const short = new Intl.NumberFormat(undefined, { notation: 'compact', maximumSignificantDigits: 3 })

/** 1234567 → "1,234,567". */
export function exact(value: number): string {
  return grouped.format(value)
}

/** 1234567 → "1.23M"; numbers that fit in a cell stay exact. */
export function compact(value: number): string {
  return Math.abs(value) < 10_000 ? grouped.format(value) : short.format(value)
}

/** Events per second: small rates keep a decimal, so that one event in five seconds is not "0". */
export function rate(value: number): string {
  if (value > 0 && value < 0.1) return '<0.1'
  if (value > 0 && value < 10) return String(Math.round(value * 10) / 10)
  return compact(value)
}

/** 1536 → "1.5 KiB". */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let unit = 0
  let left = value
  while (Math.abs(left) >= 1024 && unit < units.length - 1) {
    left /= 1024
    unit++
  }
  const digits = unit === 0 || Math.abs(left) >= 100 ? 0 : Math.abs(left) >= 10 ? 1 : 2
  return `${trimZeros(left.toFixed(digits))} ${units[unit]}`
}

/** 10 → "10%"; a share of nothing is nothing. */
export function percent(part: number, whole: number): string {
  return whole > 0 ? `${Math.round((part / whole) * 100)}%` : '0%'
}

/** 1, "job" → "1 job"; 2, "job" → "2 jobs". */
export function counted(value: number, singular: string, plural = `${singular}s`): string {
  return `${exact(value)} ${value === 1 ? singular : plural}`
}

function trimZeros(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}
