/**
 * An external registry (docker-registry, Harbor, zot) as the local one. Blobs arrive in a staging folder and go on from there, so that a
 * resumed transfer and a registry that restarts meanwhile can't spoil each other; the staged file goes after the upload.
 */
import type { Logger } from 'pino'
import type { Descriptor } from '../oci/descriptor.ts'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { ImageError, toImageError } from '../oci/errors.ts'
import { parseManifest, type RawManifest, rawManifest } from '../oci/manifest.ts'
import { sideBySide } from '../oci/side-by-side.ts'
import type { TagChange, TagSet } from '../oci/tag-change.ts'
import type { Placements } from '../state/placements.ts'
import type { TagJournal } from '../state/tag-journal.ts'
import type { ContentStore } from '../store/content.ts'
import { type BlobTarget, ExternalBlobs } from './external-blobs.ts'
import {
  type Ingest,
  type IngestOptions,
  type LocalReader,
  type LocalRegistry,
  type LocalTag,
  maxReadBytes,
} from './local.ts'
import { asLocal } from './local-fault.ts'
import type { Upstream } from './sources.ts'

/** What is asked of the registry beyond what any upstream can do. */
export interface WritableRegistry extends Upstream, BlobTarget {
  hasManifest(repository: string, digest: Digest, signal: AbortSignal): Promise<boolean>
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

/** A registry that is asked one thing after the other makes the site wait for its disk each time. */
const requestsAtOnce = 8

export class ExternalRegistry implements LocalRegistry, LocalReader {
  readonly #registry: WritableRegistry
  readonly #staging: ContentStore
  readonly #placements: Placements
  readonly #blobs: ExternalBlobs
  readonly #journal: TagJournal
  readonly #logger: Logger
  /** The tag changes before: one set after the other, so that none is taken for one that a crash cut short. */
  #lastChange: Promise<unknown> = Promise.resolve()

  constructor(options: ExternalRegistryOptions) {
    this.#registry = options.registry
    this.#staging = options.staging
    this.#placements = options.placements
    this.#journal = options.journal
    this.#logger = options.logger
    this.#blobs = new ExternalBlobs(options)
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
      const found = await asLocal(this.#heard(orMissing(this.#registry.fetchManifest(name, digest, signal)), signal))
      if (found) return found
      this.#placements.remove(name, digest)
    }
    return undefined
  }

  async keepManifest(manifest: RawManifest): Promise<void> {
    await this.#staging.writeBytes(manifest.descriptor.digest, manifest.bytes)
  }

  async hasBlob(repository: string, blob: Descriptor, signal: AbortSignal): Promise<boolean> {
    return await this.#blobs.has(repository, blob, signal)
  }

  arrived(blob: Descriptor): number {
    return this.#staging.arrived(blob)
  }

  async openIngest(blob: Descriptor, options: IngestOptions): Promise<Ingest> {
    return await this.#blobs.openIngest(blob, options)
  }

  async placeBlob(repository: string, blob: Descriptor, signal: AbortSignal): Promise<void> {
    await this.#blobs.place(repository, blob, signal)
  }

  async putManifest(repository: string, manifest: RawManifest, signal: AbortSignal): Promise<void> {
    await asLocal(this.#heard(this.#registry.putManifest(repository, manifest, undefined, signal), signal))
    this.#placements.add(repository, manifest.descriptor.digest)
  }

  async findTag(repository: string, tag: string, signal: AbortSignal): Promise<Digest | undefined> {
    return (await asLocal(this.#heard(orMissing(this.#registry.resolve(repository, tag, signal)), signal)))?.digest
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
    if (kind === 'blob') return await asLocal(this.#blobs.confirm(repository, content.digest, signal))
    const there = await asLocal(this.#heard(this.#registry.hasManifest(repository, content.digest, signal), signal))
    if (there) await this.#staging.remove(content.digest)
    else this.#blobs.forget()
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
      parts.push(Uint8Array.from(part)) // its memory is used for the next
    }
    const bytes = Buffer.concat(parts)
    return digestOf(bytes, algorithmOf(blob.digest)) === blob.digest ? bytes : undefined
  }

  /** Whatever fails, a refused manifest for example, may mean that a blob is gone that was there a moment ago. */
  #heard<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
    return this.#blobs.heard(answer, signal)
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

  /**
   * Where the tags point is asked before the first one moves, and several repositories' move at once, so that readers see a mix of old and
   * new for as short as can be. Within one they move in their order: an image's signatures before the image.
   */
  async #applyChanges(changes: readonly TagChange[], signal: AbortSignal): Promise<string[]> {
    const sets = lastOfEach(changes.filter(change => change.do === 'set'))
    const there = await sideBySide(sets, requestsAtOnce, each => this.findTag(each.repository, each.tag, signal))
    const moves = sets.filter((change, at) => there[at] !== change.descriptor.digest)
    await sideBySide([...byRepository(moves)], requestsAtOnce, async changesOfOne => {
      for (const change of changesOfOne) await this.#setTag(change, signal)
    })
    const notes: string[] = []
    for (const change of changes.filter(each => each.do === 'remove'))
      notes.push(...(await this.#removeTag(change, signal)))
    return notes
  }

  async #setTag({ repository, tag, descriptor }: TagSet, signal: AbortSignal): Promise<void> {
    const manifest = await this.findManifest(repository, descriptor.digest, signal)
    if (!manifest)
      throw new ImageError('LOCAL_REGISTRY', `${repository}@${descriptor.digest} is gone from the local registry`, {
        side: 'local',
      })
    await this.#heard(this.#registry.putManifest(repository, { ...manifest, descriptor }, tag, signal), signal)
  }

  /** Some registries can't take a tag away without taking its manifest, which other tags may need: then it stays, and that is said. */
  async #removeTag({ repository, tag }: TagChange, signal: AbortSignal): Promise<string[]> {
    if ((await this.findTag(repository, tag, signal)) === undefined) return []
    try {
      await this.#heard(this.#registry.deleteTag(repository, tag, signal), signal)
      return []
    } catch (cause) {
      const error = toImageError(cause)
      if (error.transient) throw error
      return [`the local registry can not remove the tag ${repository}:${tag} (${error.code}); it stays`]
    }
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

/** Of several changes of one tag, the one that counts. */
function lastOfEach(sets: readonly TagSet[]): readonly TagSet[] {
  return [...new Map(sets.map(change => [`${change.repository}:${change.tag}`, change])).values()]
}

function byRepository(sets: readonly TagSet[]): Iterable<readonly TagSet[]> {
  return Map.groupBy(sets, change => change.repository).values()
}
