/**
 * What a path below /v2/ asks for. A repository has slashes in it and may itself contain `/blobs/` or end in `/tags`, so the
 * path is read from its end, which no router's pattern says as plainly. OCI distribution-spec, "Endpoints".
 */
import { type Digest, isDigest } from '../../oci/digest.ts'
import { isRepository, isTag } from '../../oci/reference.ts'
import { RegistryFault } from './fault.ts'

export type RegistryPath =
  | { readonly kind: 'base' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'tags'; readonly repository: string }
  | { readonly kind: 'manifest'; readonly repository: string; readonly reference: { tag: string } | { digest: Digest } }
  | { readonly kind: 'blob'; readonly repository: string; readonly digest: Digest }
  | { readonly kind: 'referrers'; readonly repository: string; readonly digest: Digest }
  | { readonly kind: 'uploads'; readonly repository: string }
  | { readonly kind: 'upload'; readonly repository: string; readonly id: string }

/**
 * Reads the part of a path behind `/v2/`, percent-decoded already.
 * @throws RegistryFault `NAME_INVALID`, `DIGEST_INVALID`, `MANIFEST_UNKNOWN` for what can't be a tag, `NAME_UNKNOWN` for a path that means nothing.
 */
export function parseRegistryPath(path: string): RegistryPath {
  if (path === '') return { kind: 'base' }
  if (path === '_catalog') return { kind: 'catalog' }
  const tags = /^(.+)\/tags\/list$/.exec(path)
  if (tags) return { kind: 'tags', repository: checkRepository(tags[1] ?? '') }
  const uploads = /^(.+)\/blobs\/uploads(?:\/([^/]*))?$/.exec(path)
  if (uploads) {
    const [, name = '', id = ''] = uploads
    const repository = checkRepository(name)
    return id === '' ? { kind: 'uploads', repository } : { kind: 'upload', repository, id }
  }
  const [, name = '', family, last = ''] = /^(.+)\/(manifests|blobs|referrers)\/([^/]+)$/.exec(path) ?? []
  if (family === undefined) {
    throw new RegistryFault(404, 'NAME_UNKNOWN', 'there is nothing at this path of the distribution API')
  }
  const repository = checkRepository(name)
  if (family === 'blobs') return { kind: 'blob', repository, digest: checkDigest(last) }
  if (family === 'referrers') return { kind: 'referrers', repository, digest: checkDigest(last) }
  if (last.includes(':')) return { kind: 'manifest', repository, reference: { digest: checkDigest(last) } }
  if (!isTag(last)) {
    throw new RegistryFault(404, 'MANIFEST_UNKNOWN', 'this can not be a tag', { detail: { tag: clip(last) } })
  }
  return { kind: 'manifest', repository, reference: { tag: last } }
}

function checkRepository(name: string): string {
  if (isRepository(name)) return name
  throw new RegistryFault(
    400,
    'NAME_INVALID',
    'a repository is [a-z0-9] with . _ - between, and / between parts, at most 255 characters',
    { detail: { name: clip(name) } },
  )
}

function checkDigest(text: string): Digest {
  if (isDigest(text)) return text
  throw new RegistryFault(400, 'DIGEST_INVALID', 'a digest is sha256:<64 hex> or sha512:<128 hex>', {
    detail: { digest: clip(text) },
  })
}

function clip(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}
