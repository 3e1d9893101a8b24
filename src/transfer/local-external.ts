/**
 * An external registry (docker-registry, Harbor, zot) as the local one. A blob arrives in a staging folder, is verified there and then
 * uploaded, so that a resumed transfer and a registry that restarts meanwhile can't spoil each other; the staged file goes after the upload.
 */
import type { Logger } from 'pino'
import type { Descriptor } from '../oci/descriptor.ts'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { ImageError, toImageError } from '../oci/errors.ts'
import { parseManifest, type RawManifest, rawManifest } from '../oci/manifest.ts'
import type { TagChange } from '../oci/tag-change.ts'
import type { Placements } from '../state/placements.ts'
import type { TagJournal } from '../state/tag-journal.ts'
import { BlockBuffers } from '../store/append-file.ts'
import type { ContentStore } from '../store/content.ts'
import { type Ingest, type LocalReader, type LocalRegistry, type LocalTag, maxReadBytes } from './local.ts'
import { RecentLookups } from './recent-lookups.ts'
import { SendBuffers } from './send-buffers.ts'
import type { Upstream } from './sources.ts'

/** What is asked of the registry beyond what any upstream can do. */
export interface WritableRegistry extends Upstream {
  hasBlob(repository: string, digest: Digest, signal: AbortSignal): Promise<boolean>
  hasManifest(repository: string, digest: Digest, signal: AbortSignal): Promise<boolean>
  mountBlob(repository: string, digest: Digest, fromRepository: string, signal: AbortSignal): Promise<boolean>
  uploadBlob(
    repository: string,
    blob: Descriptor,
    open: (offset: number) => AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void>
  putManifest(repository: string, manifest: RawManifest, tag: string | undefined, signal: AbortSignal): Promise<void>
  deleteTag(repository: string, tag: string, signal: AbortSignal): Promise<void>
  listTags(repository: string, signal: AbortSignal): AsyncIterable<string>
}

export interface ExternalRegistryOptions {
  readonly registry: WritableRegistry
  readonly staging: ContentStore
  readonly placements: Placements
  readonly journal: TagJournal
  readonly logger: Logger
}

export class ExternalRegistry implements LocalRegistry, LocalReader {
  readonly #registry: WritableRegistry
  readonly #staging: ContentStore
  readonly #placements: Placements
  readonly #journal: TagJournal
  readonly #logger: Logger
  readonly #buffers = new BlockBuffers()
  /** The tag changes before: one set after the other, so that none is taken for one that a crash cut short. */
  #lastChange: Promise<unknown> = Promise.resolve()
  /** Uploads in flight by repository and digest: two plans that place the same blob share one, which whoever began it may stop. */
  readonly #lookups = new RecentLookups()
  readonly #placing = new Map<string, { readonly done: Promise<void>; readonly signal: AbortSignal }>()

  constructor(options: ExternalRegistryOptions) {
    this.#registry = options.registry
    this.#staging = options.staging
    this.#placements = options.placements
    this.#journal = options.journal
    this.#logger = options.logger
  }

  /** Completes the tag changes that a crash cut short: at the start, and before others are made, lest an old one undo a new one. */
  async recover(signal: AbortSignal): Promise<void> {
    await this.#inTurn(() => this.#recover(signal))
  }

  /** What is staged; the registry's own collection is its operator's to time. */
  hold(contents: readonly Descriptor[]): () => void {
    return this.#staging.pins.hold(contents.map(content => content.digest))
  }

  async findManifest(repository: string, digest: Digest, signal: AbortSignal): Promise<RawManifest | undefined> {
    this.#staging.touch(digest)
    const bytes = await this.#staging.readBytes(digest)
    if (bytes) return rawManifest(bytes, parseManifest(bytes).mediaType, digest)
    for (const name of this.#candidates(repository, digest)) {
      const found = await asLocal(orMissing(this.#registry.fetchManifest(name, digest, signal)))
      if (found) return found
      this.#placements.remove(name, digest)
    }
    return undefined
  }

  async keepManifest(manifest: RawManifest): Promise<void> {
    await this.#staging.writeBytes(manifest.descriptor.digest, manifest.bytes)
  }

  async hasBlob(repository: string, blob: Descriptor, signal: AbortSignal): Promise<boolean> {
    if ((await this.#staging.size(blob.digest)) === blob.size) return true
    return (await asLocal(this.#holder(repository, blob.digest, signal))) !== undefined
  }

  async openIngest(blob: Descriptor, signal: AbortSignal): Promise<Ingest> {
    return await this.#staging.openIngest(blob, signal)
  }

  async placeBlob(repository: string, blob: Descriptor, signal: AbortSignal): Promise<void> {
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

  async putManifest(repository: string, manifest: RawManifest, signal: AbortSignal): Promise<void> {
    try {
      await asLocal(this.#registry.putManifest(repository, manifest, undefined, signal))
    } catch (error) {
      this.#lookups.forget() // it may lack a blob that it had a moment ago
      throw error
    }
    this.#placements.add(repository, manifest.descriptor.digest)
  }

  async findTag(repository: string, tag: string, signal: AbortSignal): Promise<Digest | undefined> {
    return (await asLocal(orMissing(this.#registry.resolve(repository, tag, signal))))?.digest
  }

  async changeTags(changes: readonly TagChange[], signal: AbortSignal): Promise<readonly string[]> {
    if (changes.length === 0) return []
    return await this.#inTurn(async () => {
      await this.#recover(signal)
      const entry = this.#journal.add(changes)
      const notes = await this.#applyChanges(changes, signal)
      this.#journal.clear(entry)
      return notes
    })
  }

  async confirm(
    repository: string,
    content: Descriptor,
    kind: 'manifest' | 'blob',
    signal: AbortSignal,
  ): Promise<boolean> {
    const there =
      kind === 'blob'
        ? await asLocal(this.#registry.hasBlob(repository, content.digest, signal))
        : await asLocal(this.#registry.hasManifest(repository, content.digest, signal))
    if (!there) this.#lookups.forget()
    else if (kind === 'manifest') await this.#staging.remove(content.digest)
    return there
  }

  /** What the staging folder can take; how much the registry can is not part of its API. */
  async freeBytes(): Promise<number | undefined> {
    return await this.#staging.freeBytes()
  }

  async listTags(repository: string, limit: number, signal: AbortSignal): Promise<readonly LocalTag[]> {
    const names = (await asLocal(orMissing(this.#firstTags(repository, limit, signal)))) ?? []
    const found: LocalTag[] = []
    for (const tag of names) {
      const digest = await this.findTag(repository, tag, signal)
      if (digest !== undefined) found.push({ tag, digest })
    }
    return found
  }

  async readBlob(repository: string, blob: Descriptor, signal: AbortSignal): Promise<Uint8Array | undefined> {
    if (blob.size > maxReadBytes) return undefined
    const staged = await this.#staging.readBytes(blob.digest)
    return staged ?? (await asLocal(orMissing(this.#download(repository, blob, signal))))
  }

  async #firstTags(repository: string, limit: number, signal: AbortSignal): Promise<string[]> {
    const names: string[] = []
    for await (const tag of this.#registry.listTags(repository, signal)) {
      if (names.push(tag) >= limit) break
    }
    return names
  }

  async #download(repository: string, blob: Descriptor, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const { body } = await this.#registry.fetchBlob(repository, blob, { offset: 0, signal })
    const parts: Uint8Array[] = []
    let size = 0
    for await (const part of body) {
      size += part.byteLength
      if (size > blob.size) return undefined
      parts.push(part)
    }
    const bytes = Buffer.concat(parts)
    return digestOf(bytes, algorithmOf(blob.digest)) === blob.digest ? bytes : undefined
  }

  async #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const turn = this.#lastChange.then(() => asLocal(change()))
    this.#lastChange = turn.catch(() => undefined)
    return await turn
  }

  async #recover(signal: AbortSignal): Promise<void> {
    for (const entry of this.#journal.unfinished()) {
      this.#logger.info({ changes: entry.changes.length }, 'completing tag changes that were cut short')
      await this.#applyChanges(entry.changes, signal)
      this.#journal.clear(entry.id)
    }
  }

  /** Repositories that may hold the content: the wanted one first. */
  #candidates(repository: string, digest: Digest): readonly string[] {
    const others = this.#placements.repositoriesOf(digest).filter(name => name !== repository)
    return [repository, ...others.slice(0, 3)]
  }

  /** A repository of the registry that holds the blob: the wanted one, else one that it can be mounted from. */
  async #holder(repository: string, digest: Digest, signal: AbortSignal): Promise<string | undefined> {
    for (const name of this.#candidates(repository, digest)) {
      if (this.#lookups.find(name, digest) ?? (await this.#lookUp(name, digest, signal))) return name
      this.#placements.remove(name, digest)
    }
    return undefined
  }

  async #lookUp(repository: string, digest: Digest, signal: AbortSignal): Promise<boolean> {
    const there = await this.#registry.hasBlob(repository, digest, signal)
    this.#lookups.record(repository, digest, there)
    return there
  }

  async #place(repository: string, blob: Descriptor, signal: AbortSignal): Promise<void> {
    const holder = await this.#holder(repository, blob.digest, signal)
    if (holder !== repository) {
      const mounted = holder !== undefined && (await this.#registry.mountBlob(repository, blob.digest, holder, signal))
      if (!mounted) await this.#upload(repository, blob, signal)
    }
    this.#placements.add(repository, blob.digest)
    this.#lookups.record(repository, blob.digest, true)
    await this.#staging.remove(blob.digest)
  }

  async #upload(repository: string, blob: Descriptor, signal: AbortSignal): Promise<void> {
    const buffers = new SendBuffers(this.#buffers)
    const open = (offset: number) => this.#open({ repository, blob, offset }, buffers, signal)
    await this.#registry.uploadBlob(repository, blob, open, signal)
    buffers.giveBack()
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
    this.#lookups.forget()
    const holder = await this.#holder(repository, blob.digest, signal)
    if (holder !== undefined) {
      const { offset: start, body } = await this.#registry.fetchBlob(holder, blob, { offset, signal })
      yield* dropFirst(body, offset - start)
    } else if (blob.size > 0)
      throw new ImageError('LOCAL_REGISTRY', `${blob.digest} is neither staged nor in the registry`, { side: 'local' })
  }

  async #applyChanges(changes: readonly TagChange[], signal: AbortSignal): Promise<string[]> {
    const notes: string[] = []
    for (const change of changes.filter(each => each.do === 'set')) {
      const { repository, tag, descriptor } = change
      if ((await this.findTag(repository, tag, signal)) === descriptor.digest) continue
      const manifest = await this.findManifest(repository, descriptor.digest, signal)
      if (!manifest)
        throw new ImageError('LOCAL_REGISTRY', `${repository}@${descriptor.digest} is gone from the local registry`, {
          side: 'local',
        })
      await this.#registry.putManifest(repository, { ...manifest, descriptor }, tag, signal)
    }
    for (const change of changes.filter(each => each.do === 'remove'))
      notes.push(...(await this.#removeTag(change, signal)))
    return notes
  }

  /** Some registries can't take a tag away without taking its manifest, which other tags may need: then it stays, and that is said. */
  async #removeTag({ repository, tag }: TagChange, signal: AbortSignal): Promise<string[]> {
    if ((await this.findTag(repository, tag, signal)) === undefined) return []
    try {
      await this.#registry.deleteTag(repository, tag, signal)
      return []
    } catch (cause) {
      const error = toImageError(cause)
      if (error.transient) throw error
      return [`the local registry can not remove the tag ${repository}:${tag} (${error.code}); it stays`]
    }
  }
}

/**
 * The answer; a fault is told as the local registry's, since its codes would send an operator to look upstream. What it refuses for
 * good stays refused, everything else may pass.
 */
async function asLocal<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (cause) {
    const error = toImageError(cause)
    if (error.side !== 'local' || ['LOCAL_REGISTRY', 'LOCAL_REFUSED', 'NO_SPACE'].includes(error.code)) throw cause
    const { doing, host, retryAfterMs } = error
    const about = { cause, side: 'local', doing, host, retryAfterMs } as const
    if (error.code !== 'UNAUTHORIZED' && error.code !== 'DENIED')
      throw new ImageError('LOCAL_REGISTRY', error.message, about)
    const hint = 'Check the user name and the password of `registry.external`, and that this user may push.'
    throw new ImageError('LOCAL_REFUSED', error.message, { ...about, hint })
  }
}

/** The answer, or nothing where the registry says that there is none. */
async function orMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (['MANIFEST_UNKNOWN', 'NAME_UNKNOWN', 'BLOB_UNKNOWN'].includes(toImageError(error).code)) return undefined
    throw error
  }
}

async function* dropFirst(body: AsyncIterable<Uint8Array>, count: number): AsyncGenerator<Uint8Array> {
  let skip = count
  for await (const chunk of body) {
    if (skip < chunk.byteLength) yield skip > 0 ? chunk.subarray(skip) : chunk
    skip = Math.max(0, skip - chunk.byteLength)
  }
}
