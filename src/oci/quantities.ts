/** Durations, sizes and rates as people write them: `30s`, `512MiB`, `20Mbit`. Used by the configuration, by plans and by the API. */

const durationUnits = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const sizeUnits = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
} as const
const rateUnits = { ...sizeUnits, bit: 1 / 8, kbit: 1e3 / 8, Kbit: 1e3 / 8, Mbit: 1e6 / 8, Gbit: 1e9 / 8 } as const

/** `30s`, `10m`, `24h`, `7d`, `500ms` in milliseconds; undefined for any other text. */
export function parseDuration(text: string): number | undefined {
  return parseQuantity(text, durationUnits)
}

/** `512MiB`, `20GB` in bytes; undefined for any other text. */
export function parseSize(text: string): number | undefined {
  return parseQuantity(text, sizeUnits)
}

/** `20Mbit`, `2.5MB` (per second) in bytes per second; undefined for any other text. */
export function parseRate(text: string): number | undefined {
  return parseQuantity(text, rateUnits)
}

/** A slower rate is a mistake: at 1 kbit a second, a manifest takes minutes. Bytes per second. */
export const leastRate = 125

/** The text that {@link parseRate} reads: `20Mbit`, in the largest unit that leaves a whole number. */
export function formatRate(bytesPerSecond: number): string {
  const bits = Math.round(bytesPerSecond * 8)
  for (const [unit, size] of [
    ['Gbit', 1e9],
    ['Mbit', 1e6],
    ['kbit', 1e3],
  ] as const) {
    if (bits >= size && bits % size === 0) return `${bits / size}${unit}`
  }
  return `${bits}bit`
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const parts = /^(\d{1,15}(?:\.\d{1,6})?) ?([A-Za-z]+)$/.exec(text.trim())
  const unit = parts?.[2] === undefined || !Object.hasOwn(units, parts[2]) ? undefined : units[parts[2]]
  if (parts === null || unit === undefined) return undefined
  const value = Math.round(Number(parts[1]) * unit)
  return Number.isSafeInteger(value) ? value : undefined
}
