/** `npm run bench`: races the agent against the tools people use now, and writes what came of it into bench/results. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { buildAgent } from './build.ts'
import { makeCorpus, pushCorpus } from './corpus.ts'
import { type Job, makeJobs } from './jobs.ts'
import { readThrough, writeOut } from './page-cache.ts'
import { type Result, race } from './race.ts'
import { startRegistry } from './registries.ts'
import { writeReport } from './report.ts'

const usage = `npm run bench -- [options]
  --only A,B      these jobs alone (--list names them)
  --runs N        rounds per job; default 5
  --quick         an eighth of the sizes, for a look. This, --only and --against write beside the temporary files
  --against FILE  another build's main.js, raced as "earlier"
  --corpus DIR    where the corpus is kept for the next time; default: made anew in a temporary folder
  --list          names the jobs`

const flags = {
  only: { type: 'string' },
  runs: { type: 'string', default: '5' },
  quick: { type: 'boolean', default: false },
  against: { type: 'string' },
  corpus: { type: 'string' },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

const root = join(import.meta.dirname, '..')
process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  const options = readArguments(args)
  if (options === undefined || options.help) {
    say(usage)
    return options === undefined ? 2 : 0
  }
  const interrupt = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => interrupt.abort())
  const dir = await mkdtemp(join(tmpdir(), 'edge-image-agent-bench-'))
  try {
    await run(options, dir, interrupt.signal)
    return 0
  } catch (error) {
    say(interrupt.signal.aborted ? '\nInterrupted.' : `\n${error instanceof Error ? error.message : error}`)
    return 1
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

type Options = NonNullable<ReturnType<typeof readArguments>>

function readArguments(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: flags }).values
  } catch (error) {
    say(error instanceof Error ? error.message : String(error))
    return undefined
  }
}

async function run(options: Options, dir: string, signal: AbortSignal): Promise<void> {
  const scale = options.quick ? 8 : 1
  const agents = [
    { name: 'agent', program: buildAgent() },
    ...(options.against === undefined ? [] : [{ name: 'earlier', program: resolve(options.against) }]),
  ]
  say('Making the corpus …')
  const corpusDir = options.corpus === undefined ? join(dir, 'corpus') : join(options.corpus, `scale-${scale}`)
  const corpus = await makeCorpus({ dir: corpusDir, scale })
  const jobs = makeJobs(corpus, { agents, scale })
  if (options.list) {
    for (const job of jobs) say(`${job.id.padEnd(14)} ${job.title}`)
    return
  }
  const upstream = await startRegistry(join(corpusDir, 'upstream'))
  try {
    await pushCorpus(corpus, corpusDir, upstream.host)
    await writeOut(corpusDir, signal)
    const bytes = await readThrough(join(corpusDir, 'upstream'), signal)
    say(`Upstream's ${Math.round(bytes / 1024 / 1024)} MiB were read once.`)
    const results: Result[] = []
    for (const job of choose(jobs, options.only)) {
      results.push(...(await race(job, { upstream, dir, runs: Number(options.runs), signal, tell: say })))
    }
    const isPart = options.quick || options.only !== undefined || options.against !== undefined
    const path = await writeReport(
      results,
      isPart ? join(tmpdir(), 'edge-image-agent-bench') : join(root, 'bench/results'),
    )
    say(`\nWritten: ${path}`)
  } finally {
    await upstream.stop()
  }
}

function choose(jobs: readonly Job[], only: string | undefined): readonly Job[] {
  if (only === undefined) return jobs
  const names = only.split(',')
  const unknown = names.find(name => jobs.every(job => job.id !== name))
  if (unknown !== undefined) throw new Error(`no job is called ${unknown}; --list names them`)
  return jobs.filter(job => names.includes(job.id))
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
