import { describe, expect, it } from 'vitest'
import { bytes, compact, counted, percent, rate } from './number'
import { clock, micros, parseSpan, relative, span } from './time'

describe('numbers', () => {
  it('writes bytes in binary units without needless zeros', () => {
    expect([0, 1023, 1024, 1536, 10_485_760, 1_610_612_736].map(bytes)).toEqual([
      '0 B',
      '1023 B',
      '1 KiB',
      '1.5 KiB',
      '10 MiB',
      '1.5 GiB',
    ])
  })
  it('keeps small counts exact and shortens large ones', () => {
    expect(compact(9999)).toMatch(/^9.?999$/)
    expect(compact(1_234_567)).toBe('1.23M')
  })
  it('never rounds a living rate to nothing', () => {
    expect([0, 0.02, 0.25, 3, 12.4].map(rate)).toEqual(['0', '<0.1', '0.3', '3', '12'])
  })
  it('counts things', () => {
    expect([counted(1, 'job'), counted(2, 'job'), percent(1, 4), percent(1, 0)]).toEqual([
      '1 job',
      '2 jobs',
      '25%',
      '0%',
    ])
  })
})

describe('time', () => {
  it('writes spans with at most two units', () => {
    expect([0, 250, 1500, 12_000, 90_000, 3_600_000, 90_061_000].map(span)).toEqual([
      '0 ms',
      '250 ms',
      '1.5s',
      '12s',
      '1m 30s',
      '1h',
      '1d 1h',
    ])
  })
  it('tells past from future', () => {
    expect([relative(1000, 13_000), relative(13_000, 1000), relative(5, 6)]).toEqual(['12s ago', 'in 12s', 'now'])
  })
  it('writes latencies', () => {
    expect([850, 1500, 12_000, 2_500_000].map(micros)).toEqual(['850 µs', '1.5 ms', '12 ms', '2.5 s'])
  })
  it('shows milliseconds on the clock', () => {
    expect(clock(new Date(2026, 0, 2, 3, 4, 5, 6).getTime())).toBe('03:04:05.006')
  })
  it('reads spans as the server does and refuses the rest', () => {
    expect(['30s', '5m', '2h', '1d', '2w', '250ms', '1500'].map(parseSpan)).toEqual([
      30_000, 300_000, 7_200_000, 86_400_000, 1_209_600_000, 250, 1500,
    ])
    expect(['', '5y', '-1s', '1.5s', '99999999999999d'].map(parseSpan)).toEqual([null, null, null, null, null])
  })
})
