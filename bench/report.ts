/** What the races came to: a page of tables with the machine named, and a chart beside it. */
import { execFileSync } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { findProgram } from '../test/fixtures/programs.ts'
import { drawChart } from './chart.ts'
import { describeRates, type Lap, median, type Result } from './race.ts'

const MiB = 1024 * 1024

/** Writes `<machine>.md` and `<machine>.svg` into the folder and gives the page's path. */
export async function writeReport(results: readonly Result[], dir: string): Promise<string> {
  const model = cpus()[0]?.model.trim() ?? 'unknown'
  const name = `${model} ${availableParallelism()} cores`.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
  await mkdir(dir, { recursive: true })
  await writeFile(join(dir, `${name}.svg`), drawChart(results))
  const page = join(dir, `${name}.md`)
  await writeFile(page, makePage(results, name, model))
  return page
}

function makePage(results: readonly Result[], name: string, model: string): string {
  const jobs = [...new Set(results.map(result => result.job))]
  const tables = jobs.map(job =>
    makeTable(
      job.title,
      results.filter(result => result.job === job),
    ),
  )
  return `# edge-image-agent against the tools people use now

${machineLines(model).join('\n')}

Made by \`npm run bench\`. Within a round every contender has one turn, the order shifting from round to round; the figures are medians, with the
smallest and the largest in brackets. Wall time of the agent is from a plan's arrival at a running agent to its \`Ready\`, which includes the local
registry's confirmation; of \`pull\` and the others, from their start to their end. CPU is user and system time of the contender and of the registry it copies into; memory is the
contender's own. Requests and bytes are what the upstream registry, or the link before it, has counted. All content is checked afterwards where
nodes would pull it. The agent and docker-registry write content to the disk durably (fsync). Upstream's content was read once before the
first round, so that it comes from memory for everybody. When a turn begins, the disk has nothing left to write, and what earlier turns left is emptied but not
removed: a file system without a journal makes files slowly for minutes after many were removed.

![wall times](${name}.svg)

${tables.join('\n\n')}
`
}

function machineLines(model: string): string[] {
  const memory = Math.round(totalmem() / MiB / 1024)
  const versions = [
    ['docker-registry', '--version'],
    ['skopeo', '--version'],
    ['crane', 'version'],
    ['oras', 'version'],
  ] as const
  const found = versions.flatMap(([program, flag]) => {
    const path = findProgram(program)
    if (path === undefined) return []
    const [line = ''] = execFileSync(path, [flag], { encoding: 'utf8' }).split('\n')
    return [`${program} ${/\d+\.\d+[^\s]*/.exec(line)?.[0] ?? ''}`]
  })
  return [
    `- date: ${new Date().toISOString().slice(0, 10)}`,
    `- machine: ${model}, ${availableParallelism()} cores, ${memory} GiB, Linux ${release()}`,
    `- versions: Node ${process.versions.node}, ${found.join(', ')}`,
  ]
}

function makeTable(title: string, results: readonly Result[]): string {
  const rows = results.map(result => {
    const { contender, laps, failure } = result
    const start = `| ${contender.name} | ${contender.into} |`
    if (laps.length === 0)
      return `${start} did not finish: ${(failure ?? '').slice(0, 120).replaceAll('|', '/')} | | | | | |`
    const figures = [
      spread(laps, lap => lap.wallMs / 1000, 2),
      ratio(result, results),
      spread(laps, lap => lap.cpuMs / 1000, 2),
      Number.isNaN(laps[0]?.rssBytes) ? '' : median(laps, lap => lap.rssBytes / MiB).toFixed(0),
      median(laps, lap => lap.bytes / MiB).toFixed(1),
      median(laps, lap => lap.requests).toFixed(0),
    ]
    return `${start} ${figures.join(' | ')} |`
  })
  const rates = results.flatMap(result => result.laps.flatMap(lap => lap.rates ?? []))
  const [job] = results.map(result => result.job)
  const rateLine =
    rates.length === 0 || job?.watch === undefined
      ? ''
      : `\n\nOver any ${job.watch.overMs / 1000} s, once the receiving kernel's buffers are full: ${describeRates(rates)}, TCP's payload as it arrived over the link.`
  return `## ${title[0]?.toUpperCase()}${title.slice(1)}

| | into | wall s | of the fastest other | CPU s | peak MiB | upstream MiB | requests |
|---|---|---|---|---|---|---|---|
${rows.join('\n')}${rateLine}`
}

/** An agent's wall time as a part of the fastest rival's, and what was to be reached. */
function ratio({ job, contender, laps }: Result, results: readonly Result[]): string {
  if (job.rivals.includes(contender.name)) return ''
  const rivals = results.filter(each => job.rivals.includes(each.contender.name) && each.laps.length > 0)
  if (rivals.length === 0) return ''
  const best = Math.min(...rivals.map(rival => median(rival.laps, lap => lap.wallMs)))
  const goal = job.goals[contender.into]
  return `${(median(laps, lap => lap.wallMs) / best).toFixed(2)}${goal === undefined ? '' : ` (goal ${goal})`}`
}

function spread(laps: readonly Lap[], figure: (lap: Lap) => number, digits: number): string {
  const values = laps.map(figure)
  if (values.some(Number.isNaN)) return ''
  const [low, high] = [Math.min(...values), Math.max(...values)].map(value => value.toFixed(digits))
  return `${median(laps, figure).toFixed(digits)} (${low} to ${high})`
}
