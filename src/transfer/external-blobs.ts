/**
 * The blobs of an external registry: which repository is known to hold one, and how it comes into another: mounted, uploaded from the
 * staging folder, or uploaded while it arrives there. Used by local-external.ts.
 */
import type { Logger } from 'pino'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { ImageError } from '../oci/errors.ts'
import type { Placements } from '../state/placements.ts'
import { BlockBuffers } from '../store/append-file.ts'
import type { ContentStore } from '../store/content.ts'
import { BlobIngest } from '../store/ingest.ts'
import type { Ingest, IngestOptions } from './local.ts'
import { asLocal } from './local-fault.ts'
import { RecentLookups } from './recent-lookups.ts'
import { SendBuffers } from './send-buffers.ts'
import { Slots } from './slots.ts'
import type { Upstream } from './sources.ts'
import { StagedIngest } from './staged-ingest.ts'
import type { Urgency } from './urgency.ts'

/** What is asked of the registry about blobs. */
export interface BlobTarget extends Pick<Upstream, 'fetchBlob'> {
  hasBlob(repository: string, digest: Digest, signal: AbortSignal): Promise<boolean>
  mountBlob(repository: string, digest: Digest, fromRepository: string, signal: AbortSignal): Promise<boolean>
  uploadBlob(
    repository: string,
    blob: Descriptor,
    open: (offset: number) => AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void>
}

export interface ExternalBlobsOptions {
  readonly registry: BlobTarget
  readonly staging: ContentStore
  readonly placements: Placements
  readonly logger: Logger
}

/** Blobs that are sent at once after they have come, and so many more while they come: each takes a MiB of memory. */
const uploadsAtOnce = 4
/** Besides those, blobs of one buffer each. A registry takes its time over any blob, and most of an image's are small. */
const smallUploadsAtOnce = 8
/** Nobody goes before those who came earlier. */
const inOrder: Urgency = { priority: 0 }

export class ExternalBlobs {
  readonly #registry: BlobTarget
  readonly #staging: ContentStore
  readonly #placements: Placements
  readonly #logger: Logger
  readonly #buffers = new BlockBuffers()
  readonly #turns = new Slots(uploadsAtOnce)
  readonly #smallTurns = new Slots(smallUploadsAtOnce)
  readonly #lookups = new RecentLookups()
  #following = 0
  /** Blobs that are being placed, by repository and digest: two plans that place the same one share that, which whoever began it may stop. */
  readonly #placing = new Map<string, { readonly done: Promise<void>; readonly signal: AbortSignal }>()

  constructor(options: ExternalBlobsOptions) {
    this.#registry = options.registry
    this.#staging = options.staging
    this.#placements = options.placements
    this.#logger = options.logger
  }

  /** Whether the content is staged, or in any repository that this agent knows of. */
  async has(repository: string, blob: Descriptor, signal: AbortSignal): Promise<boolean> {
    if ((await this.#staging.size(blob.digest)) === blob.size) return true
    return (await this.#holder(repository, blob.digest, signal)) !== undefined
  }

  /** Opens the blob's ingest; when it is committed, the blob is in the repository, or else in the staging folder. */
  async openIngest(blob: Descriptor, { repository, signal, transfer }: IngestOptions): Promise<Ingest> {
    const ingest = await this.#staging.openIngest(blob, signal)
    if (!(ingest instanceof BlobIngest) || repository === undefined) return ingest
    return new StagedIngest(ingest, {
      signal: transfer,
      mayFollow: () => this.#following < uploadsAtOnce,
      send: async (bytes, ended) => {
        const isFollowing = ingest.offset < blob.size
        const open = (offset: number, buffers: SendBuffers) => buffers.chunks(bytes, offset)
        try {
          await (isFollowing
            ? this.#follow(repository, blob, open, ended)
            : this.#upload(repository, blob, open, ended))
          return true
        } catch (error) {
          // It is tried again from the whole file, by whoever places it, and that failure is told.
          this.#logger.debug({ err: error, digest: blob.digest, repository }, 'a blob was not uploaded as it came')
          return false
        }
      },
    })
  }

  /** Makes the blob part of the repository, once for all who want that now. */
  async place(repository: string, blob: Descriptor, signal: AbortSignal): Promise<void> {
    const key = `${repository}@${blob.digest}`
    for (let other = this.#placing.get(key); other; other = this.#placing.get(key)) {
      try {
        return await other.done
      } catch (error) {
        signal.throwIfAborted()
        if (!other.signal.aborted) throw error // else only its own caller has left: what that one wanted is wanted still
      }
    }
    const done = asLocal(this.#place(repository, blob, signal)).finally(() => this.#placing.delete(key))
    this.#placing.set(key, { done, signal })
    await done
  }

  /** Whether the repository has the blob: the registry's acknowledgement of it, where that is fresh, else its answer now. */
  async confirm(repository: string, digest: Digest, signal: AbortSignal): Promise<boolean> {
    if (this.#lookups.useTaken(repository, digest)) return true
    const there = await this.heard(this.#registry.hasBlob(repository, digest, signal), signal)
    if (!there) this.forget()
    return there
  }

  /** The registry's answer to anything that it is asked. One that fails may come back without what it has acknowledged. */
  async heard<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      return await answer
    } catch (error) {
      if (!signal.aborted) this.forget()
      throw error
    }
  }

  /** What was heard a moment ago does not fit what is heard now: everything is asked for anew. */
  forget(): void {
    this.#lookups.forget()
  }

  async #place(repository: string, blob: Descriptor, signal: AbortSignal): Promise<void> {
    const holder = await this.#holder(repository, blob.digest, signal)
    if (holder !== repository && !(await this.#mount(repository, blob, holder, signal))) {
      const open = (offset: number, buffers: SendBuffers) => this.#open({ repository, blob, offset }, buffers, signal)
      await this.#upload(repository, blob, open, signal)
    }
    await this.#staging.remove(blob.digest)
  }

  /** Whether the repository has the blob now: from the other one, or of its own, where a registry that mounts nothing was never asked. */
  async #mount(repository: string, { digest }: Descriptor, holder: string | undefined, signal: AbortSignal) {
    if (holder === undefined) return false
    if (!(await this.heard(this.#registry.mountBlob(repository, digest, holder, signal), signal)))
      return await this.#isHeld(repository, digest, signal)
    this.#holds(repository, digest)
    return true
  }

  /**
   * A repository of the registry that holds the blob: the wanted one, or one that it can be mounted from. Where others are known to have
   * it and the wanted one is not, they are asked first: most likely one answer is enough then.
   */
  async #holder(repository: string, digest: Digest, signal: AbortSignal): Promise<string | undefined> {
    if (this.#lookups.find(repository, digest)) return repository
    const known = this.#placements.repositoriesOf(digest)
    const others = known.filter(name => name !== repository).slice(0, 3)
    const names = known.includes(repository) ? [repository, ...others] : [...others, repository]
    for (const name of names) if (await this.#isHeld(name, digest, signal)) return name
    return undefined
  }

  async #isHeld(repository: string, digest: Digest, signal: AbortSignal): Promise<boolean> {
    const known = this.#lookups.find(repository, digest)
    if (known !== undefined) return known
    const there = await asLocal(this.heard(this.#registry.hasBlob(repository, digest, signal), signal))
    this.#lookups.record(repository, digest, there)
    if (!there) this.#placements.remove(repository, digest)
    return there
  }

  #holds(repository: string, digest: Digest): void {
    this.#placements.add(repository, digest)
    this.#lookups.recordTaken(repository, digest)
  }

  async #follow(repository: string, blob: Descriptor, open: Open, signal: AbortSignal): Promise<void> {
    this.#following += 1
    try {
      await this.#send(repository, blob, open, signal)
    } finally {
      this.#following -= 1
    }
  }

  async #upload(repository: string, blob: Descriptor, open: Open, signal: AbortSignal): Promise<void> {
    const turn = await this.#turnsFor(blob).acquire(() => inOrder, signal)
    try {
      await this.#send(repository, blob, open, signal)
    } finally {
      turn.release()
    }
  }

  #turnsFor({ size }: Descriptor): Slots {
    return size <= this.#buffers.bytes ? this.#smallTurns : this.#turns
  }

  async #send(repository: string, blob: Descriptor, open: Open, signal: AbortSignal): Promise<void> {
    const buffers = new SendBuffers(this.#buffers)
    const sent = this.#registry.uploadBlob(repository, blob, offset => open(offset, buffers), signal)
    await this.heard(sent, signal)
    buffers.giveBack()
    this.#holds(repository, blob.digest)
  }

  /** The blob's bytes from the staging folder, else from the registry's own other repository: never again from upstream. */
  async *#open(
    { repository, blob, offset }: { repository: string; blob: Descriptor; offset: number },
    buffers: SendBuffers,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const staged = await this.#staging.openBlob(blob.digest)
    if (staged) {
      try {
        yield* buffers.chunks(staged, offset)
      } finally {
        await staged.close()
      }
      return
    }
    // Asked only now: what was staged may have gone to another repository since the upload began
    this.forget()
    const holder = await this.#holder(repository, blob.digest, signal)
    if (holder !== undefined) {
      const { offset: start, body } = await this.#registry.fetchBlob(holder, blob, { offset, signal })
      yield* dropFirst(body, offset - start)
    } else if (blob.size > 0)
      throw new ImageError('LOCAL_REGISTRY', `${blob.digest} is neither staged nor in the registry`, { side: 'local' })
  }
}

/** A blob's bytes from an offset on, in these buffers. */
type Open = (offset: number, buffers: SendBuffers) => AsyncIterable<Uint8Array>

/** Copies of the body's chunks: what is sent may still be read when the next chunk is asked for. */
async function* dropFirst(body: AsyncIterable<Uint8Array>, count: number): AsyncGenerator<Uint8Array> {
  let skip = count
  for await (const chunk of body) {
    if (skip < chunk.byteLength) yield Uint8Array.from(chunk.subarray(Math.max(0, skip)))
    skip = Math.max(0, skip - chunk.byteLength)
  }
}
