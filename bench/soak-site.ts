/**
 * A bad day, again and again: plans go to the real agent over a thin link that is cut, stalls and goes down, while the agent is killed and
 * the broker goes away, at random moments that are the same for one seed. Every plan has to become Ready, and memory stay flat.
 * Used by soak.ts and, for half a minute, by a test.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { startAedes, type TestBroker } from '../test/fixtures/aedes-broker.ts'
import { AgentProcess } from '../test/fixtures/agent-process.ts'
import { planOf } from '../test/fixtures/edge-site.ts'
import { FakeRegistry } from '../test/fixtures/fake-registry.ts'
import { Mecm } from '../test/fixtures/mecm.ts'
import { LinkEmulator, type LinkFault } from './link-emulator.ts'

export interface SoakOptions {
  /** A folder of its own. */
  readonly dir: string
  /** How long new plans come; the last ones are waited for. */
  readonly seconds: number
  readonly seed: number
  readonly signal: AbortSignal
  readonly say?: (line: string) => void
}

export interface SoakReport {
  readonly plansReady: number
  /** Plans that ended otherwise, or not in time. */
  readonly failures: readonly string[]
  readonly kills: number
  readonly brokerRestarts: number
  readonly connections: number
  readonly refusedConnections: number
  /** Of all blobs that the plans named, each once. */
  readonly bytesNeeded: number
  /** From upstream over the link, heads and all that was lost in cuts and kills included. */
  readonly bytesCrossed: number
  /** RSS in MiB, over the part without kills: of its second quarter, of its last quarter (medians), and the highest ever. */
  readonly memory: { readonly early: number; readonly late: number; readonly peak: number }
}

const MiB = 1024 * 1024
const lanes = 4
const rate = 16_000_000
/** The agent is killed in this part of the time; in the rest its memory is watched. */
const killShare = 0.6
const planTimeoutMs = 240_000

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const random = randomOf(options.seed)
  const upstream = await FakeRegistry.start()
  const faults = { outages: faultsOf(random, 24 * MiB, 3_000), stalls: faultsOf(random, 40 * MiB, 3_000) }
  const link = new LinkEmulator({ port: upstream.port, rate, roundTripMs: 40, cutAfter: 3 * MiB, ...faults })
  await link.start()
  const broker = await startAedes()
  const mecm = await Mecm.connect(broker.url, 'edge-01')
  const agent = await AgentProcess.prepare({
    ...{ dir: options.dir, edge: 'edge-01', platform: 'linux/amd64', upstreams: [link.host], mqtt: broker.url },
    more: { transfer: { stallTimeout: '2s' }, log: { level: 'warn' } },
  })
  try {
    await Promise.all([agent.start(options.signal), mecm.edgeOnline()])
    return await new Soak(options, { random, upstream, link, broker, mecm, agent }).run()
  } finally {
    await agent.stop()
    await mecm.close()
    await broker.close()
    await link.stop()
    await upstream.stop()
  }
}

interface Parts {
  /** From 0 to 1. */
  readonly random: () => number
  readonly upstream: FakeRegistry
  readonly link: LinkEmulator
  readonly broker: TestBroker
  readonly mecm: Mecm
  readonly agent: AgentProcess
}

class Soak {
  readonly #options: SoakOptions
  readonly #parts: Parts
  readonly #endsAt: number
  readonly #failures: string[] = []
  readonly #memory: number[] = []
  #plansReady = 0
  #kills = 0
  #brokerRestarts = 0
  #bytesNeeded = 0
  #peak = 0
  #isKilled = false

  constructor(options: SoakOptions, parts: Parts) {
    this.#options = options
    this.#parts = parts
    this.#endsAt = performance.now() + options.seconds * 1000
  }

  async run(): Promise<SoakReport> {
    const over = new AbortController()
    const signal = AbortSignal.any([over.signal, this.#options.signal])
    const around = [this.#killAgent(signal), this.#breakBroker(signal), this.#watchMemory(signal)]
    const work = Array.from({ length: lanes }, (_, at) => this.#sendPlans(`lane-${at}`, signal))
    try {
      await Promise.race([Promise.all(work), Promise.all(around).then(() => Promise.all(work))])
    } finally {
      over.abort()
      await Promise.allSettled([...work, ...around])
    }
    const { counts } = this.#parts.link
    const quarter = (at: number) => {
      const { length } = this.#memory
      return median(this.#memory.slice((length * (at - 1)) / 4, (length * at) / 4))
    }
    return {
      plansReady: this.#plansReady,
      failures: this.#failures,
      kills: this.#kills,
      brokerRestarts: this.#brokerRestarts,
      connections: counts.connections,
      refusedConnections: counts.refused,
      bytesNeeded: this.#bytesNeeded,
      bytesCrossed: counts.bytesToClients,
      memory: { early: quarter(2), late: quarter(4), peak: this.#peak },
    }
  }

  /** One plan after the other, each a new revision with a new layer on the same base. */
  async #sendPlans(name: string, signal: AbortSignal): Promise<void> {
    const { upstream, link, mecm, random } = this.#parts
    const repository = `soak/${name}`
    const base = upstream.putGeneratedBlob(repository, 4 * MiB, Math.floor(random() * 1e9))
    this.#bytesNeeded += base.size
    for (let revision = 1; performance.now() < this.#endsAt; revision++) {
      const size = Math.ceil((0.2 + random() * 2) * MiB)
      const layer = upstream.putGeneratedBlob(repository, size, Math.floor(random() * 1e9))
      upstream.putImage(repository, `${revision}`, [base, layer])
      this.#bytesNeeded += layer.size
      const image = { source: `${link.host}/${repository}:${revision}`, target: `${repository}:newest` }
      try {
        const status = await mecm.run(planOf(name, revision, [image]), { timeoutMs: planTimeoutMs, signal })
        if (status.phase === 'Ready') this.#plansReady++
        else this.#failures.push(`${name} revision ${revision}: ${status.phase}, ${status.reason}: ${status.message}`)
      } catch (error) {
        signal.throwIfAborted()
        this.#failures.push(`${name} revision ${revision}: ${error instanceof Error ? error.message : error}`)
      }
      upstream.clearLog()
    }
  }

  async #killAgent(signal: AbortSignal): Promise<void> {
    const { agent, random } = this.#parts
    const { seconds } = this.#options
    const until = this.#endsAt - seconds * 1000 * (1 - killShare)
    for (;;) {
      const wait = Math.min(seconds * 100, 10_000 + random() * 20_000)
      if (performance.now() + wait > until) return
      await pause(wait, signal)
      if (signal.aborted) return
      this.#isKilled = true
      await agent.kill()
      this.#kills++
      await agent.start(signal)
      this.#isKilled = false
    }
  }

  async #breakBroker(signal: AbortSignal): Promise<void> {
    const { broker, random } = this.#parts
    for (;;) {
      await pause(Math.min(this.#options.seconds * 150, 15_000 + random() * 25_000), signal)
      if (signal.aborted) return
      await broker.vanish()
      this.#brokerRestarts++
      await pause(500 + random() * 3_000, signal)
      await broker.reopen()
    }
  }

  async #watchMemory(signal: AbortSignal): Promise<void> {
    const { agent } = this.#parts
    const quietFrom = this.#endsAt - this.#options.seconds * 1000 * (1 - killShare)
    let toldAt = performance.now()
    for (;;) {
      await pause(1_000, signal)
      if (signal.aborted) return
      if (this.#isKilled) continue
      const { now, peak } = await agent.memory()
      this.#peak = Math.max(this.#peak, toMiB(peak))
      if (performance.now() > quietFrom && performance.now() < this.#endsAt) this.#memory.push(toMiB(now))
      if (performance.now() - toldAt < 30_000) continue
      toldAt = performance.now()
      const left = Math.max(0, Math.round((this.#endsAt - toldAt) / 1000))
      this.#options.say?.(
        `${this.#plansReady} plans ready, ${this.#failures.length} failed, ${this.#kills} kills, ${toMiB(now)} MiB; ${left} s left`,
      )
    }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined)
}

/** Faults at random byte counts, about so far apart, of up to so many milliseconds. */
function faultsOf(random: () => number, every: number, longestMs: number): LinkFault[] {
  const faults: LinkFault[] = []
  for (let atByte = 0; faults.length < 2_000; ) {
    atByte += Math.ceil(every * (0.5 + random()))
    faults.push({ atByte, forMs: Math.ceil(longestMs * random()) })
  }
  return faults
}

/** The same numbers for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

function toMiB(bytes: number): number {
  return Math.round(bytes / MiB)
}
