/**
 * How a run is right now: its images, bytes and quote, in memory. Becomes a status at every change of phase, and progress
 * between them. One for each run, over all of its passes; filled by run.ts.
 */
import { performance } from 'node:perf_hooks'
import type { Descriptor } from '../oci/descriptor.ts'
import { type ImageError, toImageError } from '../oci/errors.ts'
import { formatTarget } from '../oci/reference.ts'
import type { FetchProgress, ResolvedImage } from '../transfer/engine.ts'
import { Arrivals } from './arrivals.ts'
import type { Outlook } from './outlook.ts'
import type { Plan } from './plan.ts'
import {
  type ByteCounts,
  describeError,
  formatTime,
  type ImageStatus,
  isTerminal,
  type Phase,
  type PlanStatus,
  type Quote,
  type Reason,
  type StatusDraft,
} from './status.ts'

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

/** Why a plan is in its phase, and what an operator can do. */
export interface Why {
  readonly reason?: Reason
  readonly message?: string
  readonly hint?: string
}

/** The rate is measured over this many milliseconds. */
const rateWindowMs = 10_000

export class RunReport {
  readonly plan: Plan
  readonly images: readonly Mutable<ImageStatus>[]
  quote: Quote | null
  /** Called whenever bytes have arrived. */
  onBytes: () => void = () => {}
  #fetched: number
  #resumed: number
  /** Of the quote, what was here when the current pass began. */
  #before: number
  /** Of the blobs that the current pass has to get. */
  #arrivals = new Arrivals([])
  #gained = false
  /** What the last look at it found. */
  #outlook: Outlook | undefined
  /** Bytes of blobs that are not complete, by digest, which count as fetched or resumed already: a further try begins with them again. */
  readonly #counted = new Map<string, number>()
  /** Every blob that was missing in some pass of the run. */
  readonly #lacked = new Set<string>()
  /** The images' roots as upstream has them; in the status stands what was put here. */
  readonly #roots = new Map<number, string>()
  #samples: { at: number; fetched: number }[] = []

  /** @param last the run's last status, when an earlier process wrote it. */
  constructor(plan: Plan, last?: PlanStatus) {
    this.plan = plan
    this.quote = last?.quote ?? null
    this.#fetched = last?.bytes.fetched ?? 0
    this.#resumed = last?.bytes.resumed ?? 0
    this.#before = last?.bytes.done ?? 0
    this.images = plan.images.map((request, at) => {
      const known = last?.images.length === plan.images.length ? last.images[at] : undefined
      return known ? { ...known } : newImage(formatTarget(request.target), request.source)
    })
  }

  get bytes(): ByteCounts {
    return { done: this.#done(), fetched: this.#fetched, resumed: this.#resumed }
  }

  /** Whether the current pass has brought bytes, so that the next try need not wait long. */
  get gained(): boolean {
    return this.#gained
  }

  image(at: number): Mutable<ImageStatus> {
    const image = this.images[at]
    if (image === undefined) throw new RangeError(`plan ${this.plan.name} has no image ${at}`)
    return image
  }

  /** What the quote says of time and room, from now on. */
  set outlook(outlook: Outlook) {
    this.#outlook = outlook
    const { verdict, readyAt } = outlook
    if (this.quote === null) return
    this.quote = { ...this.quote, verdict, readyAt: readyAt === undefined ? null : formatTime(readyAt) }
  }

  get outlook(): Outlook | undefined {
    return this.#outlook
  }

  /** Of the quote, what is not here yet. */
  get bytesLeft(): number {
    return Math.max(0, (this.quote?.bytesMissing ?? 0) - this.#done())
  }

  /** A status of this moment. */
  draft(phase: Phase, why: Why = {}): StatusDraft {
    return {
      plan: this.plan.name,
      revision: this.plan.revision,
      phase,
      reason: why.reason ?? null,
      message: this.#messageOf(phase, why),
      hint: why.hint ?? null,
      quote: this.quote,
      bytes: this.bytes,
      images: this.images.map(image => ({
        ...image,
        phase: atWork.has(phase) ? image.phase : restingPhase(image.phase),
      })),
      package: this.plan.package ?? null,
    }
  }

  /** Takes note of what an image is, and of which blobs the local side lacks. */
  found(at: number, image: ResolvedImage, missing: readonly Descriptor[]): void {
    const status = this.image(at)
    const bytesMissing = sum(missing)
    const known = this.#roots.get(at) ?? status.digest
    if (known !== image.root.digest || status.bytesTotal !== image.bytesTotal) {
      status.bytesPresent = Math.max(0, image.bytesTotal - bytesMissing)
    }
    this.#roots.set(at, image.root.digest)
    status.digest = image.root.digest
    status.bytesTotal = image.bytesTotal
    status.bytesDone = Math.max(0, image.bytesTotal - status.bytesPresent - bytesMissing)
  }

  /** A pass begins; what it lacks is not known yet. */
  beginPass(): void {
    this.#before = this.#done()
    this.#arrivals = new Arrivals([])
    this.#gained = false
  }

  /**
   * Begins to count the bytes of a pass over `all` content, of which it lacks `missing`.
   * @param bytesToStore what the missing blobs take on the disk beside what is there of them.
   */
  expect(all: readonly Descriptor[], missing: readonly Descriptor[], bytesToStore: number): void {
    this.#arrivals = new Arrivals(missing)
    for (const blob of missing) this.#lacked.add(blob.digest)
    const bytesTotal = sum(all)
    const bytesMissing = sum(missing)
    // Later passes lack less of the same: the quote stays, so that the bytes can be counted against it
    if (this.quote === null || this.quote.bytesTotal !== bytesTotal || this.quote.bytesMissing < bytesMissing) {
      const lacked = sum(all.filter(blob => this.#lacked.has(blob.digest)))
      this.quote = { bytesTotal, bytesMissing: lacked, bytesPeakDisk: bytesToStore, verdict: 'Accepted', readyAt: null }
    }
    this.#before = Math.max(0, this.quote.bytesMissing - bytesMissing)
  }

  /** Counts what a fetch of the image tells. */
  counterOf(at: number, missing: readonly Descriptor[]): FetchProgress {
    const image = this.image(at)
    const before = image.bytesDone
    const arrivals = new Arrivals(missing)
    const update = () => {
      image.bytesDone = before + arrivals.bytes
      this.onBytes()
    }
    return {
      received: (host, bytes, blob) => {
        image.source = host
        arrivals.add(blob, bytes)
        this.#arrivals.add(blob, bytes)
        this.#fetched += bytes
        this.#counted.set(blob.digest, (this.#counted.get(blob.digest) ?? 0) + bytes)
        this.#gained = true
        this.#sample()
        update()
      },
      resumed: (bytes, blob) => {
        arrivals.set(blob, bytes)
        this.#arrivals.set(blob, bytes)
        this.#resumed += Math.max(0, bytes - (this.#counted.get(blob.digest) ?? 0))
        this.#counted.set(blob.digest, bytes)
        update()
      },
      completed: blob => {
        const { bytes } = this.#arrivals
        arrivals.set(blob, blob.size)
        this.#arrivals.set(blob, blob.size)
        this.#counted.delete(blob.digest)
        if (this.#arrivals.bytes > bytes) this.#gained = true // brought by another plan
        update()
      },
      retried: (_blob, error) => {
        image.attempts += 1
        image.error = describeError(toImageError(error))
      },
    }
  }

  /** An image has all of its content. */
  arrived(at: number): void {
    const image = this.image(at)
    image.bytesDone = image.bytesTotal - image.bytesPresent
    image.error = null
    image.phase = 'Fetched'
    this.onBytes()
  }

  failed(at: number, error: ImageError): void {
    const image = this.image(at)
    image.error = describeError(error)
    image.phase = error.transient ? 'Waiting' : 'Failed'
  }

  /** Bytes per second over the last seconds, and how long the rest takes at that rate. */
  pace(): { rate: number; secondsLeft: number | null } {
    const now = performance.now()
    this.#samples = this.#samples.filter(sample => now - sample.at <= rateWindowMs)
    const [first] = this.#samples
    if (first === undefined || now - first.at < 1) return { rate: 0, secondsLeft: null }
    const rate = Math.round(((this.#fetched - first.fetched) * 1000) / (now - first.at))
    return { rate, secondsLeft: rate > 0 ? Math.ceil(this.bytesLeft / rate) : null }
  }

  /** Of a plan that has not ended, why it will not be here in time stands beside why it is in its phase. */
  #messageOf(phase: Phase, { reason, message }: Why): string | null {
    // Waiting for space says itself how much is missing
    const risk = isTerminal(phase) || reason === 'Space' ? undefined : this.#outlook?.message
    return [message, risk].filter(text => text !== undefined).join('; ') || null
  }

  #done(): number {
    return this.#before + this.#arrivals.bytes
  }

  #sample(): void {
    const now = performance.now()
    const last = this.#samples.at(-1)
    // four samples a second are enough, however small the chunks
    if (last === undefined || now - last.at >= 250) this.#samples.push({ at: now, fetched: this.#fetched })
    while ((this.#samples[0]?.at ?? now) < now - rateWindowMs) this.#samples.shift()
  }
}

/** The phases of a plan in which its images are worked on. */
const atWork: ReadonlySet<Phase> = new Set(['Resolving', 'Fetching', 'Verifying'])

function restingPhase(phase: ImageStatus['phase']): ImageStatus['phase'] {
  return phase === 'Resolving' || phase === 'Fetching' ? 'Waiting' : phase
}

function newImage(target: string, source: { registry: string; digest?: string }): Mutable<ImageStatus> {
  return {
    target,
    digest: source.digest ?? null,
    phase: 'Accepted',
    bytesTotal: 0,
    bytesPresent: 0,
    bytesDone: 0,
    attempts: 0,
    source: source.registry,
    error: null,
  }
}

function sum(blobs: readonly Descriptor[]): number {
  return blobs.reduce((total, blob) => total + blob.size, 0)
}
