/**
 * The write side, for an external local registry: mounts, uploads, manifests, tags. OCI distribution-spec, "Pushing".
 * One per registry: it owns the order of changes to the referrers' tags.
 */
import type { Descriptor } from '../oci/descriptor.ts'
import { algorithmOf, type Digest, isDigest, shortDigest } from '../oci/digest.ts'
import { ImageError } from '../oci/errors.ts'
import { parseManifest, type RawManifest } from '../oci/manifest.ts'
import { findManifest } from './manifests.ts'
import { asReferrer, referrersTag, withReferrer } from './referrers.ts'
import type { Ask, Transport } from './transport.ts'
import { cancelSession, sessionOf, writeScope } from './upload-session.ts'
import { type OpenBlob, uploadBlob } from './uploads.ts'

/** A registry may hash, copy and replicate before it confirms. */
const putTimeoutMs = 2 * 60_000

export class Pushes {
  readonly #transport: Transport
  /** The last change of each referrers' tag that is under way: read, add and put must not interleave. */
  readonly #referrerTags = new Map<string, Promise<void>>()

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /**
   * Makes a blob of one repository part of another without sending it. False if the registry won't: it doesn't know mounts, or the
   * blob, or doesn't let us read there; an upload then tells more. The session that it opened instead is cancelled.
   */
  async mountBlob(repository: string, digest: Digest, fromRepository: string, signal: AbortSignal): Promise<boolean> {
    const query = `mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(fromRepository)}`
    const ask: Ask = {
      method: 'POST',
      url: `/v2/${repository}/blobs/uploads/?${query}`,
      scopes: [writeScope(repository), `repository:${fromRepository}:pull`],
      subject: 'upload',
      doing: `mount blob ${shortDigest(digest)} of ${fromRepository} in ${repository}`,
      expect: [201, 202, 400, 404, 405],
      signal,
    }
    try {
      const answer = await this.#transport.send(ask)
      await answer.discard()
      if (answer.status === 202)
        await cancelSession(this.#transport, sessionOf(this.#transport, answer, ask), repository, signal)
      return answer.status === 201
    } catch (error) {
      if (error instanceof ImageError && (error.code === 'UNAUTHORIZED' || error.code === 'DENIED')) return false
      throw error
    }
  }

  /** Sends a blob. `open` gives its bytes from an offset on, and may be called again. */
  uploadBlob(repository: string, blob: Descriptor, open: OpenBlob, signal: AbortSignal): Promise<void> {
    return uploadBlob(this.#transport, repository, blob, open, signal)
  }

  /**
   * Puts a manifest under a tag, or by its digest alone. Where it has a subject and the registry doesn't keep referrers by itself
   * (no `OCI-Subject` in its answer), the subject's referrers tag is kept up.
   * @throws ImageError `LOCAL_REFUSED` where the local registry won't take it, `DIGEST_MISMATCH` where it stored something else.
   */
  async putManifest(
    repository: string,
    manifest: RawManifest,
    tag: string | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const keeps = await this.#put(repository, manifest, tag ?? manifest.descriptor.digest, signal)
    const parsed = parseManifest(manifest.bytes, manifest.descriptor.mediaType)
    if (parsed.subject === undefined || keeps) return
    await this.#addReferrer(repository, parsed.subject.digest, asReferrer(parsed, manifest.descriptor), signal)
  }

  /** Removes a tag and leaves its manifest; one that isn't there is fine. @throws ImageError `UNSUPPORTED` where a registry can't. */
  async deleteTag(repository: string, tag: string, signal: AbortSignal): Promise<void> {
    const hint = 'This registry removes tags only together with their manifest, or not at all; remove the tag there.'
    await this.#delete(repository, tag, `remove the tag ${repository}:${tag}`, hint, signal)
  }

  /** Removes a manifest and every tag on it. @throws ImageError `UNSUPPORTED` where a registry can't. */
  async deleteManifest(repository: string, digest: Digest, signal: AbortSignal): Promise<void> {
    const hint = 'Allow deletes in the configuration of the registry (docker-registry: storage.delete.enabled).'
    await this.#delete(repository, digest, `remove the manifest ${repository}@${shortDigest(digest)}`, hint, signal)
  }

  async #delete(
    repository: string,
    reference: string,
    doing: string,
    hint: string,
    signal: AbortSignal,
  ): Promise<void> {
    const answer = await this.#transport.send({
      method: 'DELETE',
      url: `/v2/${repository}/manifests/${reference}`,
      scopes: [`repository:${repository}:delete`],
      subject: 'manifest',
      doing,
      // 400 and 405 are the specification's; docker-registry 2 calls the tag a wrong digest with its 400.
      expect: [200, 202, 204, 400, 404, 405],
      signal,
    })
    await answer.discard()
    if (answer.status !== 400 && answer.status !== 405) return
    throw this.#transport.error(
      'UNSUPPORTED',
      `the registry does not allow that (status ${answer.status})`,
      doing,
      hint,
    )
  }

  /** Puts the bytes and tells whether the registry keeps referrers by itself. */
  async #put(repository: string, manifest: RawManifest, reference: string, signal: AbortSignal): Promise<boolean> {
    const { descriptor, bytes } = manifest
    const doing = `put manifest ${shortDigest(descriptor.digest)} to ${repository}${isDigest(reference) ? '' : `:${reference}`}`
    const answer = await this.#transport.send({
      method: 'PUT',
      url: `/v2/${repository}/manifests/${reference}`,
      headers: { 'content-type': descriptor.mediaType },
      body: bytes,
      scopes: [writeScope(repository)],
      subject: 'manifest put',
      doing,
      expect: [200, 201, 202],
      answerTimeoutMs: putTimeoutMs,
      signal,
    })
    await answer.discard()
    const stored = answer.header('docker-content-digest') ?? ''
    if (isDigest(stored) && algorithmOf(stored) === algorithmOf(descriptor.digest) && stored !== descriptor.digest) {
      throw this.#transport.error('DIGEST_MISMATCH', `put ${descriptor.digest}, the registry stored ${stored}`, doing)
    }
    return answer.header('oci-subject') !== undefined
  }

  async #addReferrer(repository: string, subject: Digest, referrer: Descriptor, signal: AbortSignal): Promise<void> {
    const tag = referrersTag(subject)
    const key = `${repository}:${tag}`
    const before = this.#referrerTags.get(key)
    const change = (async () => {
      await before?.catch(() => {})
      const index = withReferrer(await findManifest(this.#transport, repository, tag, signal), referrer)
      if (index !== undefined) await this.#put(repository, index, tag, signal)
    })()
    this.#referrerTags.set(key, change)
    try {
      await change
    } finally {
      if (this.#referrerTags.get(key) === change) this.#referrerTags.delete(key)
    }
  }
}
