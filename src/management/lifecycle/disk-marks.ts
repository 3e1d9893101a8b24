/**
 * Above the high mark images go by themselves, the longest unused first, until the low mark is reached; never what a plan or a
 * Repository holds. When nothing more may go, it is said what holds the space. Used by lifecycle.ts.
 */
import type { Logger } from 'pino'
import type { Audit } from '../../access/audit.ts'
import type { Cleanup } from './cleanup.ts'
import { type LocalImage, nameOf } from './shelf.ts'

/** A share of the disk (0 to 1) that is in use, whatever uses it; or bytes of content of the local registry. */
export type Mark = { readonly share: number } | { readonly bytes: number }

export interface DiskUsage {
  /** Bytes of content of the local registry. */
  readonly contentBytes: number
  /** Bytes of the whole disk, and of them those that this process may still take. */
  readonly diskBytes: number
  readonly freeBytes: number
}

export interface DiskMarksOptions {
  readonly cleanup: Cleanup
  readonly high: Mark
  readonly low: Mark
  readonly usage: () => Promise<DiskUsage>
  readonly audit: Pick<Audit, 'record'>
  readonly logger: Logger
}

export interface Holder {
  readonly holder: string
  /** Bytes of what it holds; what is shared counts for each. */
  readonly bytes: number
}

export interface DiskStatus {
  /** `below`: nothing to do. `full`: above the high mark, and nothing more may go. */
  readonly state: 'below' | 'cleaning' | 'full'
  /** In plain words. */
  readonly message: string
  /** Who holds most of the space, when it is full. */
  readonly heldBy: readonly Holder[]
  /** Since the start of the process. */
  readonly removedImages: number
  readonly freedBytes: number
}

const maxHolders = 10
/** After a cleanup that was not enough, the next one comes at the earliest so many milliseconds later. */
const restMs = 5 * 60_000

export class DiskMarks {
  readonly #options: DiskMarksOptions
  #status: DiskStatus = { state: 'below', message: 'not looked at yet', heldBy: [], removedImages: 0, freedBytes: 0 }

  /** What was said last of a disk that stays full. */
  #told: string | undefined
  /** Monotonic milliseconds: nothing could be done a moment ago. */
  #restUntil = 0

  constructor(options: DiskMarksOptions) {
    this.#options = options
  }

  get status(): DiskStatus {
    return this.#status
  }

  /** Looks, and cleans where it has to. */
  async check(signal: AbortSignal): Promise<void> {
    const { high, low, usage, cleanup } = this.#options
    if (this.#excess(await usage(), high) <= 0) {
      this.#say('below', 'below the high mark')
      this.#told = undefined
      this.#restUntil = 0
      return
    }
    if (performance.now() < this.#restUntil) return
    this.#say('cleaning', 'above the high mark: images go until the low mark is reached')
    await cleanup.inTurn(async () => {
      // What nobody needs is taken first: it may be enough.
      const collected = await cleanup.collect(signal)
      this.#count(0, collected?.bytes ?? 0)
      const tooMuch = this.#excess(await usage(), low)
      if (tooMuch > 0) await this.#removeOldest(tooMuch, signal)
      await this.#conclude(signal)
    })
  }

  /** Bytes above the mark. */
  #excess({ contentBytes, diskBytes, freeBytes }: DiskUsage, mark: Mark): number {
    return 'bytes' in mark ? contentBytes - mark.bytes : diskBytes - freeBytes - mark.share * diskBytes
  }

  async #removeOldest(tooMuch: number, signal: AbortSignal): Promise<void> {
    const { cleanup, usage, low } = this.#options
    const images = await this.#oldestFirst(signal)
    const footprint = await cleanup.shelf.footprint(signal)
    // What a reader still takes stays for a while though it is counted here: a second look goes on from where this one ends.
    let left = tooMuch
    while (images.length > 0 && left > 0) {
      const chosen: LocalImage[] = []
      for (let freed = 0; freed < left && images.length > 0; ) {
        const image = images.shift()
        if (image === undefined) break
        freed += footprint?.remove(nameOf(image)) ?? 0
        chosen.push(image)
      }
      const { removed, collected } = await cleanup.remove(chosen, 'the disk is above its high mark', signal)
      this.#count(removed.length, collected?.bytes ?? 0)
      this.#record(removed.length, collected?.bytes ?? 0)
      const now = this.#excess(await usage(), low)
      // Content that readers keep for some minutes must not drag ever more images along.
      if ((collected?.bytes ?? 0) === 0) break
      left = now
    }
  }

  async #oldestFirst(signal: AbortSignal): Promise<LocalImage[]> {
    const { cleanup } = this.#options
    const holds = cleanup.holds()
    const images = await cleanup.shelf.images(signal)
    return images
      .filter(image => holds.holderOf(image) === undefined)
      .sort((a, b) => a.usedAt - b.usedAt || a.updatedAt - b.updatedAt)
  }

  async #conclude(signal: AbortSignal): Promise<void> {
    const { high, usage, logger } = this.#options
    if (this.#excess(await usage(), high) <= 0) {
      this.#say('below', 'below the high mark after a cleanup')
      logger.info({ ...this.#status }, 'the disk is below its high mark again')
      return
    }
    const heldBy = await this.#holders(signal)
    const waiting = (await this.#oldestFirst(signal)).length > 0
    const names = heldBy.map(({ holder, bytes }) => `${holder} (${Math.round(bytes / 1e6)} MB)`).join(', ')
    const why = waiting
      ? 'images are still being pulled: the cleanup goes on in some minutes'
      : `nothing more may go: ${names === '' ? 'other files use the disk' : `the space is held by ${names}`}`
    this.#say(waiting ? 'cleaning' : 'full', `above the high mark, and ${why}`, heldBy)
    this.#restUntil = performance.now() + restMs
    if (this.#told === why) return // said already
    this.#told = why
    logger.warn({ heldBy }, this.#status.message)
    this.#record(0, 0, 'failure')
  }

  async #holders(signal: AbortSignal): Promise<Holder[]> {
    const { cleanup } = this.#options
    const holds = cleanup.holds()
    const footprint = await cleanup.shelf.footprint(signal)
    const bytes = new Map<string, number>()
    for (const image of await cleanup.shelf.images(signal)) {
      const holder = holds.holderOf(image)
      if (holder !== undefined) bytes.set(holder, (bytes.get(holder) ?? 0) + (footprint?.bytesOf(nameOf(image)) ?? 0))
    }
    const all = [...bytes].map(([holder, sum]) => ({ holder, bytes: sum }))
    return all.sort((a, b) => b.bytes - a.bytes).slice(0, maxHolders)
  }

  #say(state: DiskStatus['state'], message: string, heldBy: readonly Holder[] = []): void {
    this.#status = { ...this.#status, state, message, heldBy }
  }

  #count(images: number, bytes: number): void {
    const { removedImages, freedBytes } = this.#status
    this.#status = { ...this.#status, removedImages: removedImages + images, freedBytes: freedBytes + bytes }
  }

  #record(count: number, bytes: number, outcome: 'success' | 'failure' = 'success'): void {
    this.#options.audit.record({
      who: 'system',
      action: 'images:delete',
      object: { kind: 'LocalRegistry', name: 'disk' },
      outcome,
      detail: { reason: 'the disk is above its high mark', count, bytes },
    })
  }
}
