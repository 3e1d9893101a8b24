/** Runs jobs: in each round every contender once, in turn, so that whatever else the machine does meets them alike. */
import { mkdir, mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Contender, Session } from './contender.ts'
import type { Job } from './jobs.ts'
import { LinkEmulator } from './link-emulator.ts'
import { emptyFiles, writeOut } from './page-cache.ts'
import { type BenchRegistry, expectImages } from './registries.ts'

/** One contender's time at one job. Requests and bytes are what upstream, or the link before it, has counted. */
export interface Lap {
  readonly wallMs: number
  readonly cpuMs: number
  readonly rssBytes: number
  readonly requests: number
  readonly bytes: number
  /** The lowest and the highest rate over any stretch of the job's length, in bits per second. */
  readonly rates?: { readonly low: number; readonly high: number }
}

export interface Result {
  readonly job: Job
  readonly contender: Contender
  readonly laps: readonly Lap[]
  /** Why laps are missing. */
  readonly failure: string | undefined
}

export interface RaceOptions {
  readonly upstream: BenchRegistry
  /** Where sessions get their folders. */
  readonly dir: string
  readonly runs: number
  readonly signal: AbortSignal
  readonly tell: (line: string) => void
}

/** Of an even number of laps, the mean of the middle two. */
export function median(laps: readonly Lap[], figure: (lap: Lap) => number): number {
  const values = laps.map(figure).sort((a, b) => a - b)
  const middle = values.length >> 1
  const [low = 0, high = 0] =
    values.length % 2 === 0 ? values.slice(middle - 1, middle + 1) : [values[middle], values[middle]]
  return (low + high) / 2
}

/** Nobody gets longer for one lap. A tool that can't finish a job shows it by this. Milliseconds. */
const lapLimitMs = 90_000

/** Runs one job. A contender that failed once is left out of the rounds that follow. */
export async function race(job: Job, options: RaceOptions): Promise<readonly Result[]> {
  const standing = job.contenders
    .filter(contender => contender.lacks() === undefined)
    .map(contender => ({ contender, laps: [] as Lap[], failure: undefined as string | undefined }))
  options.tell(`\n${job.id}: ${job.title}`)
  for (let round = 0; round < options.runs; round++) {
    // Each round begins with another one, and every other goes backwards, so that none always follows the same.
    const order = standing.map((_, at) => standing[(at + round) % standing.length])
    if (round % 2 === 1) order.reverse()
    for (const entry of order) {
      if (entry === undefined || entry.failure !== undefined) continue
      options.signal.throwIfAborted()
      try {
        const lap = await runLap(job, entry.contender, options)
        entry.laps.push(lap)
        options.tell(`  ${describe(entry.contender)} ${describeLap(lap)}`)
      } catch (error) {
        options.signal.throwIfAborted()
        entry.failure = error instanceof Error ? error.message : String(error)
        options.tell(`  ${describe(entry.contender)} failed: ${entry.failure}`)
      }
    }
  }
  return standing.map(entry => ({ job, ...entry }))
}

async function runLap(job: Job, contender: Contender, options: RaceOptions): Promise<Lap> {
  await mkdir(options.dir, { recursive: true })
  const dir = await mkdtemp(join(options.dir, 'lap-'))
  const link = job.link && new LinkEmulator({ port: options.upstream.port, ...job.link })
  await link?.start()
  let session: Session | undefined
  try {
    session = await contender.open({ dir, upstream: link?.host ?? options.upstream.host })
    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(lapLimitMs)])
    if (job.before) await session.bring(job.before, signal)
    await writeOut(options.dir, options.signal) // what others left to be written is not this one's to wait for
    return await measure(job, session, { link, upstream: options.upstream, signal })
  } finally {
    await session?.close()
    await link?.stop()
    await emptyFiles(dir)
  }
}

interface Parts {
  readonly link: LinkEmulator | undefined
  readonly upstream: BenchRegistry
  readonly signal: AbortSignal
}

async function measure(job: Job, session: Session, { link, upstream, signal }: Parts): Promise<Lap> {
  const counts = async () =>
    link ? { requests: link.counts.requests, bytes: link.counts.bytesToClients } : await upstream.counts()
  const before = await counts()
  if (link && job.watch) return await watch(job, session, link, job.watch, signal)
  const started = performance.now()
  const half = link && job.killAt !== undefined ? await bringAndKill(job, session, link, job.killAt, signal) : undefined
  const usage = await session.bring(job.wanted, signal)
  const wallMs = performance.now() - started - (half?.pauseMs ?? 0)
  const after = await counts()
  if (session.registry !== undefined) {
    await expectImages(session.registry, job.wanted)
  }
  return { ...usage, wallMs, requests: after.requests - before.requests, bytes: after.bytes - before.bytes }
}

type Watch = NonNullable<Job['watch']>

/** Looks at the rate for a while and stops the work then. Nothing is said of CPU and memory. */
async function watch(job: Job, session: Session, link: LinkEmulator, { overMs, forMs }: Watch, signal: AbortSignal) {
  const meter = new RateMeter(link, overMs)
  const enough = new AbortController()
  const work = session.bring(job.wanted, AbortSignal.any([signal, enough.signal])).then(
    () => 'it was done before the watch was over',
    (error: unknown) => (enough.signal.aborted ? undefined : String(error)),
  )
  const early = await Promise.race([work, sleep(forMs, undefined, { signal })])
  const rates = await meter.stop()
  if (early !== undefined) throw new Error(early)
  enough.abort()
  await session.kill()
  await work
  const { requests, bytesToClients: bytes } = link.counts
  return { wallMs: forMs, cpuMs: Number.NaN, rssBytes: Number.NaN, requests, bytes, ...(rates ? { rates } : {}) }
}

/** Until the receiving kernel's buffers are full: what they take is no rate of the agent's. Milliseconds. */
const fillingMs = 5_000

/** Follows what arrives over a link, ten times a second. */
class RateMeter {
  readonly #link: LinkEmulator
  readonly #overMs: number
  readonly #samples: { readonly at: number; readonly bytes: number }[] = []
  readonly #enough = new AbortController()
  readonly #sampling: Promise<void>

  constructor(link: LinkEmulator, overMs: number) {
    this.#link = link
    this.#overMs = overMs
    this.#sampling = this.#sample()
    this.#sampling.catch(() => {}) // stop() tells
  }

  /** Gives the rates of what came after the first seconds. */
  async stop(): Promise<{ low: number; high: number } | undefined> {
    this.#enough.abort()
    await this.#sampling
    const [first] = this.#samples.filter(sample => sample.bytes > 0)
    const moving = this.#samples.filter(sample => first !== undefined && sample.at - first.at >= fillingMs)
    const rates = moving.flatMap(end => {
      const start = moving.findLast(sample => end.at - sample.at >= this.#overMs)
      return start ? [((end.bytes - start.bytes) * 8000) / (end.at - start.at)] : []
    })
    return rates.length === 0 ? undefined : { low: Math.min(...rates), high: Math.max(...rates) }
  }

  async #sample(): Promise<void> {
    while (!this.#enough.signal.aborted) {
      const bytes = this.#link.arrived()
      this.#samples.push({ at: performance.now(), bytes })
      await sleep(100)
    }
  }
}

async function bringAndKill(job: Job, session: Session, link: LinkEmulator, bytes: number, signal: AbortSignal) {
  const first = session.bring(job.wanted, signal)
  const ended = first.then(
    () => 'ended',
    () => 'failed',
  )
  const outcome = await Promise.race([ended, link.reached(bytes).then(() => 'reached')])
  if (outcome !== 'reached') throw new Error(`it ${outcome} before it could be killed`)
  const started = performance.now()
  await session.kill()
  await ended
  return { pauseMs: performance.now() - started }
}

function describe({ name, into }: Contender): string {
  return `${name} → ${into}`.padEnd(36)
}

function describeLap({ wallMs, cpuMs, rssBytes, requests, bytes, rates }: Lap): string {
  const mib = (value: number) => (value / 1024 / 1024).toFixed(1)
  const usage = `CPU ${(cpuMs / 1000).toFixed(2).padStart(6)} s  ${mib(rssBytes).padStart(6)} MiB`
  return [
    `${(wallMs / 1000).toFixed(2).padStart(7)} s`,
    ...(Number.isNaN(cpuMs) ? [] : [usage]),
    `upstream ${String(requests).padStart(4)} requests ${mib(bytes).padStart(7)} MiB`,
    ...(rates ? [describeRates([rates])] : []),
  ].join('  ')
}

/** `19.8 to 20.1 Mbit/s`. */
export function describeRates(rates: readonly { readonly low: number; readonly high: number }[]): string {
  const low = Math.min(...rates.map(rate => rate.low))
  const high = Math.max(...rates.map(rate => rate.high))
  return `${(low / 1e6).toFixed(2)} to ${(high / 1e6).toFixed(2)} Mbit/s`
}
