/** Numbers as people read them. Used by tables and progress. */

const binary = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** `812 B`, `38.3 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1023.95 && unit < binary.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${binary[unit]}`
}

/** `2.4 MiB/s`. */
export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`
}

/** `4 s`, `3 min 20 s`, `5 h 2 min`, `3 d 4 h`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const units = [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
    ['s', 1],
  ] as const
  const at = units.findIndex(([, size]) => whole >= size)
  if (at < 0) return '0 s'
  let rest = whole
  const parts = units.slice(at, at + 2).map(([name, size]) => {
    const count = Math.floor(rest / size)
    rest -= count * size
    return { name, count }
  })
  return parts
    .filter(({ count }) => count > 0)
    .map(({ name, count }) => `${count} ${name}`)
    .join(' ')
}

/** `12 s ago`, `in 3 min`; the text itself where it is no time. */
export function formatRelative(time: string, now: number): string {
  const seconds = Math.round((now - Date.parse(time)) / 1000)
  if (Number.isNaN(seconds)) return time
  if (Math.abs(seconds) < 1) return 'now'
  const [first = ''] = /^\d+ \w+/.exec(formatSeconds(Math.abs(seconds))) ?? []
  return seconds > 0 ? `${first} ago` : `in ${first}`
}
