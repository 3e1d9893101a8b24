/** Go durations, as Kubernetes documents write them: `30m`, `1h30m`, `1.5h`. Go, time.ParseDuration. */

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** Milliseconds, or undefined for a text that is no Go duration, is negative or is longer than 290 years. */
export function parseGoDuration(text: string): number | undefined {
  if (text === '0') return 0
  if (text.length > 64 || !/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(text)) return undefined
  let total = 0
  for (const [, amount, unit] of text.matchAll(/([\d.]+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    total += Number(amount) * (unitMs[unit ?? ''] ?? Number.NaN)
  }
  return total <= 290 * 365 * 24 * 3_600_000 ? total : undefined
}
