/**
 * One pass over a plan: from what is asked to what is confirmed. Passes are repeated by the queue until one ends the plan; what
 * a pass has achieved costs the next one nothing. Plan contract, "What the agent promises", 4 to 6.
 */

import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { ImageError, toImageError } from '../oci/errors.ts'
import { sideBySide } from '../oci/side-by-side.ts'
import type { ImageRequest, ResolvedImage } from '../transfer/engine.ts'
import { LinkClosed, soonest } from '../transfer/link/obstacle.ts'
import type { Needs } from './outlook.ts'
import type { Plan } from './plan.ts'
import type { Outcome, RunContext } from './run-context.ts'
import { describeError, joinTexts } from './status.ts'

/** Images that are resolved, fetched or confirmed at once. Blobs have limits of their own, over all plans. */
const imagesAtOnce = 4

/**
 * Runs the plan's steps once. Failures, of images and of the plan as a whole, are part of the outcome.
 * @throws the signal's reason when it is aborted, and nothing else.
 */
export async function runPass(context: RunContext, signal: AbortSignal): Promise<Outcome> {
  try {
    return await runSteps(new Pass(context, signal))
  } catch (thrown) {
    signal.throwIfAborted()
    const error = toImageError(thrown)
    context.failed?.(error)
    const message = describeError(error)
    if (!error.transient) return { kind: 'failed', why: { reason: error.code, message, hint: error.hint } }
    const reason = error.code === 'NO_SPACE' ? 'Space' : 'Retry'
    return { kind: 'wait', reason, message, hint: error.hint, retryAfterMs: error.retryAfterMs ?? 0 }
  }
}

/**
 * Finds out what a plan would take, and does none of it: its report then has the quote, and the errors of images that can't be had.
 * @throws the signal's reason when it is aborted.
 */
export async function runQuote(context: RunContext, signal: AbortSignal): Promise<void> {
  const pass = new Pass(context, signal)
  await pass.resolve()
  await pass.quote()
}

async function runSteps(pass: Pass): Promise<Outcome> {
  await pass.resolve()
  if (pass.isLost || pass.isBare) return pass.verdict()
  if (!pass.settle()) return { kind: 'superseded' }
  await pass.quote()
  const short = await pass.findShortage()
  if (short) return short
  const closed = pass.findClosure()
  if (closed) return closed
  await pass.fetch()
  if (pass.isLost) return pass.verdict()
  await pass.publish()
  await pass.confirm()
  await pass.remove()
  return pass.verdict()
}

class Pass {
  /** What is asked for now, by place in the plan. */
  readonly images = new Map<number, ResolvedImage>()
  readonly #context: RunContext
  readonly #signal: AbortSignal
  readonly #failures = new Map<number, ImageError>()
  readonly #missing = new Map<number, readonly Descriptor[]>()
  readonly #notes: string[] = []

  constructor(context: RunContext, signal: AbortSignal) {
    this.#context = context
    this.#signal = signal
  }

  /** Whether an image can't be had in a plan whose images belong together: whatever else arrives is of no use. */
  get isLost(): boolean {
    return this.#context.plan.atomic && [...this.#failures.values()].some(error => !error.transient)
  }

  /** Whether there is nothing to go on with: of no image is it known what it is. */
  get isBare(): boolean {
    return this.images.size === 0 && this.#failures.size > 0
  }

  async resolve(): Promise<void> {
    const { plan, engine, report, published, pins } = this.#context
    report.beginPass()
    this.#context.enter('Resolving')
    await this.#eachImage([...plan.images.keys()], async at => {
      const known = published.get(at)
      if (known) {
        this.images.set(at, known)
        return
      }
      report.image(at).phase = 'Resolving'
      report.image(at).attempts += 1
      const found = await engine.resolve(pinnedRequest(plan, at, pins.get(at)), this.#signal)
      this.images.set(at, found)
      this.#note(at, found.notes)
    })
  }

  /** Whether the plan still has all of its targets, now that the digests are known. */
  settle(): boolean {
    return this.#context.settle(this.images)
  }

  /** What is missing, over all images, shared blobs counted once. */
  async quote(): Promise<void> {
    const { engine, report, published } = this.#context
    await this.#eachImage([...this.images.keys()], async at => {
      if (published.has(at)) return
      const image = this.#image(at)
      // Manifests that were fetched to resolve the image were missing, too; they have arrived by now
      const missing = [...image.fetched, ...(await engine.missing(image, this.#signal))]
      this.#missing.set(at, missing)
      report.found(at, image, missing)
    })
    const all = unique([...this.images.values()].flatMap(image => [image.root, ...image.manifests, ...image.blobs]))
    const missing = this.#allMissing()
    report.expect(all, missing, this.#bytesToStore(missing))
    const outlook = await this.#context.judge(this.#needs())
    // Of what could not be asked about, it is not known how much it is
    report.outlook = this.#failures.size > 0 ? { ...outlook, readyAt: undefined } : outlook
  }

  /** Whether the disk has no room for what is missing. */
  async findShortage(): Promise<Outcome | undefined> {
    const needed = this.#bytesToStore(this.#allMissing())
    const free = needed === 0 ? undefined : await this.#context.engine.freeBytes()
    if (free === undefined || needed <= free) return undefined
    return {
      kind: 'wait',
      reason: 'Space',
      message: `needs ${needed} bytes, ${free} are free: ${needed - free} bytes are missing`,
      hint: new ImageError('NO_SPACE', '').hint,
      retryAfterMs: 0,
    }
  }

  /** Whether the link is closed to everything that is missing. What is here already is put in place at any time, as far as the plan lets images go alone. */
  findClosure(): Outcome | undefined {
    const { engine, plan, published } = this.#context
    const lacking = this.#lacking()
    const toPlace = [...this.images.keys()].filter(at => !published.has(at)).length
    if (!plan.atomic && lacking.length < toPlace) return undefined
    const obstacle = soonest(lacking.map(request => engine.obstacle(request, plan)))
    return obstacle && { kind: 'closed', obstacle, blocked: lacking }
  }

  async fetch(): Promise<void> {
    const { plan, engine, report, published } = this.#context
    this.#context.enter('Fetching')
    const others = new AbortController()
    const signal = AbortSignal.any([this.#signal, others.signal])
    await this.#eachImage([...this.images.keys()], async at => {
      if (published.has(at) || others.signal.aborted) return
      report.image(at).phase = 'Fetching'
      const progress = report.counterOf(at, this.#missing.get(at) ?? [])
      for (const manifest of this.#image(at).fetched) {
        progress.received(report.image(at).source, manifest.size, manifest)
        progress.completed(manifest)
      }
      try {
        const image = await engine.fetch(this.#image(at), {
          ...{ signal, progress },
          ...{ priority: plan.priority, readyBy: plan.readyBy, limits: plan.limits },
        })
        this.#note(at, image.notes)
        this.images.set(at, image)
        report.image(at).digest = image.root.digest
        report.arrived(at)
        if (!plan.atomic) await this.#publishOne(at, image)
      } catch (error) {
        // told by the image that made it so; this one was only stopped
        if (others.signal.aborted && !this.#signal.aborted) return
        if (plan.atomic && !toImageError(error).transient && !this.#signal.aborted) others.abort()
        throw error
      }
    })
  }

  /** With `atomic`: all tags and removals together, once everything is here. */
  async publish(): Promise<void> {
    const { plan, engine } = this.#context
    if (!plan.atomic || this.#failures.size > 0) return
    const { remove, notes } = this.#context.removals()
    this.#notes.push(...notes)
    this.#notes.push(...(await engine.publish([...this.images.values()], remove, this.#signal)))
    this.#context.placed(this.images)
    for (const at of this.images.keys()) this.#context.report.image(at).phase = 'Published'
  }

  async confirm(): Promise<void> {
    const { plan, engine, report, published } = this.#context
    const inPlace = [...(plan.atomic && this.#failures.size === 0 ? this.images : published).keys()]
    if (inPlace.length === 0 && plan.images.length > 0) return
    this.#context.enter('Verifying')
    await this.#eachImage(inPlace, async at => {
      try {
        await engine.confirm(this.#image(at), this.#signal)
        report.image(at).phase = 'Ready'
      } catch (error) {
        published.delete(at) // so that the next pass puts right what is missing
        throw error
      }
    })
  }

  /** Without `atomic`: removals, once everything else is in place. */
  async remove(): Promise<void> {
    const { plan, engine } = this.#context
    if (plan.atomic || this.#failures.size > 0) return
    const { remove, notes } = this.#context.removals()
    this.#notes.push(...notes)
    if (remove.length > 0) this.#notes.push(...(await engine.publish([], remove, this.#signal)))
  }

  /** What the failures of images mean for the plan. */
  verdict(): Outcome {
    const failures = [...this.#failures].sort(([a], [b]) => a - b)
    const permanent = failures.filter(([, error]) => !error.transient)
    const transient = failures.filter(([, error]) => error.transient)
    if (transient.length > 0 && !this.isLost) return this.#wait(transient)
    const [first] = permanent
    if (first === undefined) return { kind: 'ready', notes: [...new Set(this.#notes)] }
    const [, error] = first
    return { kind: 'failed', why: { reason: error.code, message: this.#describe(permanent), hint: error.hint } }
  }

  #wait(failures: readonly (readonly [number, ImageError])[]): Outcome {
    const closed = failures.flatMap(([at, error]) => (error instanceof LinkClosed ? [{ at, error }] : []))
    const obstacle = soonest(closed.map(({ error }) => error.obstacle))
    // What else went wrong is tried again by itself; that pass finds the link closed to the rest.
    const others = failures.filter(([, error]) => !(error instanceof LinkClosed))
    if (obstacle && others.length === 0) {
      return { kind: 'closed', obstacle, blocked: closed.flatMap(({ at }) => this.#request(at)) }
    }
    const errors = others.map(([, error]) => error)
    const full = errors.find(error => error.code === 'NO_SPACE')
    const hint = (full ?? errors[0])?.hint ?? ''
    const retryAfterMs = Math.max(0, ...errors.map(error => error.retryAfterMs ?? 0))
    const isCutOff = full === undefined && others.every(failure => this.#isCutOff(failure))
    const reason = full ? 'Space' : isCutOff ? 'Link' : 'Retry'
    const message = `${isCutOff ? 'nothing comes over the link: ' : ''}${this.#describe(others)}`
    return { kind: 'wait', reason, message, hint, retryAfterMs }
  }

  /** Whether the image failed because nothing comes over the link, from none of its sources nor from any other. */
  #isCutOff([at, error]: readonly [number, ImageError]): boolean {
    return error.side !== 'local' && this.#request(at).every(request => this.#context.engine.isCutOff(request))
  }

  async #publishOne(at: number, image: ResolvedImage): Promise<void> {
    const { engine, report, published } = this.#context
    this.#notes.push(...(await engine.publish([image], [], this.#signal)))
    published.set(at, image)
    this.#context.placed(new Map([[at, image]]))
    report.image(at).phase = 'Published'
  }

  /** Does a step for images, a few at once. One that fails is out of the pass; a stop of the run stops them all. */
  async #eachImage(places: readonly number[], step: (at: number) => Promise<void>): Promise<void> {
    await sideBySide(places, imagesAtOnce, async at => {
      this.#signal.throwIfAborted()
      if (this.#failures.has(at)) return
      try {
        await step(at)
      } catch (error) {
        this.#signal.throwIfAborted()
        const failure = toImageError(error)
        this.#failures.set(at, failure)
        if (failure instanceof LinkClosed) this.#context.report.image(at).phase = 'Waiting'
        else {
          this.#context.failed?.(failure, this.#context.report.image(at).target)
          this.#context.report.failed(at, failure)
        }
        if (!this.#context.published.has(at)) this.images.delete(at)
      }
    })
    this.#signal.throwIfAborted()
  }

  #image(at: number): ResolvedImage {
    const image = this.images.get(at)
    if (image === undefined) throw new RangeError(`image ${at} is not resolved`)
    return image
  }

  #request(at: number): readonly ImageRequest[] {
    return this.#context.plan.images.slice(at, at + 1)
  }

  /** What has blobs to come. Manifests that were fetched to know this have arrived, and so may blobs have that a crash kept from their place. */
  #lacking(): ImageRequest[] {
    const { engine } = this.#context
    const lacks = ([at, { fetched }]: [number, ResolvedImage]) => {
      const here = new Set(fetched.map(manifest => manifest.digest))
      return (this.#missing.get(at) ?? []).some(blob => !here.has(blob.digest) && engine.arrived(blob) < blob.size)
    }
    return [...this.images].filter(lacks).map(([, image]) => image.request)
  }

  #needs(): Needs {
    const missing = this.#allMissing()
    const here = new Set([...this.images.values()].flatMap(image => image.fetched).map(({ digest }) => digest))
    const bytes = this.#bytesToStore(missing.filter(({ digest }) => !here.has(digest)))
    const [first] = this.#lacking()
    return { bytes, disk: this.#bytesToStore(missing), hosts: first ? this.#context.engine.hostsOf(first) : [] }
  }

  #allMissing(): Descriptor[] {
    return unique([...this.#missing.values()].flat())
  }

  #bytesToStore(missing: readonly Descriptor[]): number {
    const { engine } = this.#context
    return missing.reduce((total, blob) => total + Math.max(0, blob.size - engine.arrived(blob)), 0)
  }

  #describe(failures: readonly (readonly [number, ImageError])[]): string {
    return joinTexts(failures.map(([at, error]) => `${this.#context.report.image(at).target}: ${describeError(error)}`))
  }

  #note(at: number, notes: readonly string[]): void {
    const { target } = this.#context.report.image(at)
    this.#notes.push(...notes.map(note => `${target}: ${note}`))
  }
}

/** What an earlier process has published is asked for by its digest: a tag that moved since then doesn't change it. */
function pinnedRequest(plan: Plan, at: number, pin: Digest | undefined): ImageRequest {
  const request = plan.images[at]
  if (request === undefined) throw new RangeError(`plan ${plan.name} has no image ${at}`)
  return pin === undefined ? request : { ...request, source: { ...request.source, digest: pin } }
}

function unique(content: readonly Descriptor[]): Descriptor[] {
  return [...new Map(content.map(descriptor => [descriptor.digest, descriptor])).values()]
}
