/** Wall times as bars, job by job, each job on a scale of its own. */
import { median, type Result } from './race.ts'

const width = 860
const barsAt = 300
const barsWidth = 440
const rowHeight = 20

/** An SVG that needs no fonts, scripts or styles from elsewhere. */
export function drawChart(results: readonly Result[]): string {
  const parts: string[] = []
  let y = 20
  for (const job of new Set(results.map(result => result.job))) {
    parts.push(text(10, y, job.title, 'font-weight="bold"'))
    y += rowHeight
    const ofJob = results.filter(result => result.job === job)
    const slowest = Math.max(...ofJob.flatMap(({ laps }) => laps.map(lap => lap.wallMs)), 1)
    for (const result of ofJob) {
      parts.push(drawRow(result, y, slowest))
      y += rowHeight
    }
    y += rowHeight / 2
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" font-family="sans-serif" font-size="12">
<rect width="${width}" height="${y}" fill="white"/>
${parts.join('\n')}
</svg>
`
}

/** The median as a bar, the smallest and the largest as a line over its end. */
function drawRow({ contender, laps }: Result, y: number, slowest: number): string {
  const label = text(20, y, `${contender.name} → ${contender.into}`)
  if (laps.length === 0) return `${label}\n${text(barsAt, y, 'did not finish', 'fill="#a33"')}`
  const wall = median(laps, lap => lap.wallMs)
  const at = (ms: number) => barsAt + (ms / slowest) * barsWidth
  const walls = laps.map(lap => lap.wallMs)
  const [low, high] = [at(Math.min(...walls)), at(Math.max(...walls))]
  const fill = contender.name.startsWith('agent') ? '#2a7ab0' : '#b8b8b8'
  const bar = `<rect x="${barsAt}" y="${y - 11}" width="${(at(wall) - barsAt).toFixed(1)}" height="14" fill="${fill}"/>`
  const line = `<path d="M${low.toFixed(1)} ${y - 4}H${high.toFixed(1)}" stroke="#333"/>`
  return [label, bar, line, text(high + 6, y, `${(wall / 1000).toFixed(2)} s`)].join('\n')
}

function text(x: number, y: number, content: string, attributes = ''): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${x.toFixed(1)}" y="${y}"${attributes === '' ? '' : ` ${attributes}`}>${escaped}</text>`
}
