/**
 * Manifests by digest, from the local side where it has them, else from upstream; what was fetched is kept at once.
 * One reader lives for one resolve, so a manifest that is named twice is read once. Used by resolve.ts and referrers.ts.
 */
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { ImageError, toImageError } from '../oci/errors.ts'
import { type Manifest, parseManifest, type RawManifest } from '../oci/manifest.ts'
import type { ImageRequest } from './engine.ts'
import type { LocalRegistry } from './local.ts'
import type { Source, Sources } from './sources.ts'

/** A manifest with its place: what it is called, and what it says. */
export interface ReadManifest {
  readonly descriptor: Descriptor
  readonly manifest: Manifest
}

export class ManifestReader {
  readonly request: ImageRequest
  readonly signal: AbortSignal
  /** What was not on the local side. */
  readonly fetched: Descriptor[] = []
  /** What an operator should know of the sources. */
  readonly notes = new Set<string>()
  readonly #local: LocalRegistry
  readonly #sources: Sources
  readonly #read = new Map<Digest, Promise<ReadManifest>>()

  constructor(request: ImageRequest, parts: { local: LocalRegistry; sources: Sources; signal: AbortSignal }) {
    this.request = request
    this.signal = parts.signal
    this.#local = parts.local
    this.#sources = parts.sources
  }

  /** How many different manifests were read: an index that names too many is refused by its reader. */
  get count(): number {
    return this.#read.size
  }

  /** Asks the sources in turn. */
  ask<T>(question: (source: Source, signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.#sources.ask(this.request, this.signal, question, note => this.notes.add(note))
  }

  /**
   * What the tag is upstream now: one HEAD, since its content may well be here under whatever name.
   * @throws ImageError those of the sources.
   */
  async resolveTag(tag: string): Promise<Digest> {
    const descriptor = await this.ask(async (source, signal) => {
      try {
        return await source.upstream.resolve(source.repository, tag, signal)
      } catch (error) {
        if (toImageError(error).code !== 'MANIFEST_UNKNOWN') throw error
        // The answer to a HEAD has no body to say whether the tag or the whole repository is unknown
        return (await source.upstream.fetchManifest(source.repository, tag, signal)).descriptor
      }
    })
    return descriptor.digest
  }

  /**
   * The manifest of that digest. `expected` is what the pointing descriptor says, where there is one.
   * @throws ImageError `MANIFEST_UNKNOWN`, `MANIFEST_INVALID`, `UNSUPPORTED`, and those of the sources.
   */
  read(digest: Digest, expected?: Descriptor): Promise<ReadManifest> {
    const known = this.#read.get(digest)
    if (known !== undefined) return known
    const reading = this.#readOnce(digest, expected)
    this.#read.set(digest, reading)
    return reading
  }

  async #readOnce(digest: Digest, expected: Descriptor | undefined): Promise<ReadManifest> {
    const raw =
      (await this.#local.findManifest(this.request.target.repository, digest, this.signal)) ??
      (await this.#fetch(digest))
    const manifest = parseManifest(raw.bytes, expected?.mediaType ?? raw.descriptor.mediaType)
    if (expected !== undefined && expected.size !== raw.bytes.byteLength) {
      throw new ImageError(
        'MANIFEST_INVALID',
        `the index says that ${digest} has ${expected.size} bytes; it has ${raw.bytes.byteLength}`,
      )
    }
    const descriptor: Descriptor = { mediaType: manifest.mediaType, digest, size: raw.bytes.byteLength }
    return { descriptor: { ...expected, ...descriptor }, manifest }
  }

  async #fetch(digest: Digest): Promise<RawManifest> {
    const raw = await this.ask(({ upstream, repository }, signal) => upstream.fetchManifest(repository, digest, signal))
    // Refused before it is kept: what can't be parsed must not come back from the local side as if it had been had.
    parseManifest(raw.bytes, raw.descriptor.mediaType)
    await this.#local.keepManifest(raw)
    this.fetched.push(raw.descriptor)
    return raw
  }
}
