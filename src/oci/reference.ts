/**
 * References: `host[:port]/repository[:tag][@digest]` as people write them, and what they mean.
 * OCI distribution-spec, "Pulling manifests"; the short names of Docker Hub as docker and containerd read them.
 */
import { type Digest, parseDigest } from './digest.ts'
import { ImageError } from './errors.ts'
import { hasUserinfo, withoutUserinfo } from './userinfo.ts'

/** A place in a registry: which host, which repository. */
export interface RepositoryReference {
  /** `host[:port]` as written, lower case; `docker.io` for Docker Hub. */
  readonly registry: string
  readonly repository: string
}

/** A reference to one image: by tag, by digest, or both (the digest then decides). */
export type Reference = RepositoryReference &
  ({ readonly tag: string; readonly digest?: Digest } | { readonly tag?: string; readonly digest: Digest })

/** A name inside the local registry. Without a tag, the content is kept by digest alone. */
export interface Target {
  readonly repository: string
  readonly tag?: string
}

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const repositoryPattern = new RegExp(`^${component}(?:/${component})*$`)
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/
const hostPattern =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/

/** Whether `text` is a repository path of the distribution specification (at most 255 characters). */
export function isRepository(text: string): boolean {
  return text.length <= 255 && repositoryPattern.test(text)
}

/** Whether `text` is a tag of the distribution specification. */
export function isTag(text: string): boolean {
  return tagPattern.test(text)
}

/** Whether `text` is `host[:port]`. */
export function isRegistryHost(text: string): boolean {
  return hostPattern.test(text) && Number(/:(\d+)$/.exec(text)?.[1] ?? 1) <= 65535
}

/**
 * Parses a reference. A first part without `.`, `:` or the name `localhost` is a path on Docker Hub, whose official images
 * live under `library/`; without tag and digest, the tag is `latest`.
 * @throws ImageError `NAME_INVALID`, `TAG_INVALID` or `DIGEST_INVALID`, saying which part is wrong and why.
 */
export function parseReference(text: string): Reference {
  const { registry, path } = splitRegistry(text)
  const { name, tag, digest } = splitVersion(path, text)
  const repository = withLibrary(registry, name)
  checkRepository(repository, text)
  if (digest === undefined) return { registry, repository, tag: tag ?? 'latest' }
  return { registry, repository, digest, ...(tag === undefined ? {} : { tag }) }
}

/**
 * Parses `host[:port]/repository` without tag or digest: a mirror.
 * @throws ImageError `NAME_INVALID`.
 */
export function parseRepositoryReference(text: string): RepositoryReference {
  const { registry, path } = splitRegistry(text)
  const repository = withLibrary(registry, path)
  checkRepository(repository, text)
  return { registry, repository }
}

/**
 * Parses a name in the local registry: `repository[:tag]`, without a host.
 * @throws ImageError `NAME_INVALID` or `TAG_INVALID`.
 */
export function parseTarget(text: string): Target {
  refuseUserinfo(text)
  const { name, tag, digest } = splitVersion(text, text)
  if (digest !== undefined) throw new ImageError('NAME_INVALID', `"${clip(text)}": a target has a tag, not a digest`)
  checkRepository(name, text)
  return { repository: name, ...(tag === undefined ? {} : { tag }) }
}

/** The reference in full, e.g. `docker.io/library/nginx:latest`. */
export function formatReference(reference: Reference): string {
  return `${reference.registry}/${formatTarget(reference)}${reference.digest === undefined ? '' : `@${reference.digest}`}`
}

/** `repository:tag`, or `repository` where there is no tag. */
export function formatTarget(target: Target): string {
  return target.tag === undefined ? target.repository : `${target.repository}:${target.tag}`
}

/** Docker Hub's official images are written without their `library/`. */
function withLibrary(registry: string, path: string): string {
  return registry === 'docker.io' && path !== '' && !path.includes('/') ? `library/${path}` : path
}

function splitRegistry(text: string): { registry: string; path: string } {
  refuseUserinfo(text)
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    const rest = text.replace(/^[a-z][a-z0-9+.-]*:\/\//i, '')
    throw new ImageError('NAME_INVALID', `"${clip(text)}" starts with a scheme; write it without: "${clip(rest)}"`)
  }
  const slash = text.indexOf('/')
  const first = slash < 0 ? '' : text.slice(0, slash)
  const isHost = first.includes('.') || first.includes(':') || first === 'localhost' || first !== first.toLowerCase()
  if (!isHost) return { registry: 'docker.io', path: text }
  if (!isRegistryHost(first))
    throw new ImageError('NAME_INVALID', `"${clip(text)}": "${clip(first)}" is not a host[:port]`)
  const host = first.toLowerCase()
  const hub = host === 'index.docker.io' || host === 'registry-1.docker.io'
  return { registry: hub ? 'docker.io' : host, path: text.slice(slash + 1) }
}

/** First of all: what is quoted of one that is wrong elsewhere may be a part of the password. */
function refuseUserinfo(text: string): void {
  if (!hasUserinfo(text)) return
  throw new ImageError(
    'NAME_INVALID',
    `"${clip(text)}" begins with a user name and password; write it without: "${clip(withoutUserinfo(text).slice(2))}"; they belong into the configuration or an image source`,
  )
}

function splitVersion(path: string, whole: string): { name: string; tag?: string; digest?: Digest } {
  const at = path.indexOf('@')
  const digest = at < 0 ? undefined : parseDigest(path.slice(at + 1))
  const named = at < 0 ? path : path.slice(0, at)
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1)
  const tag = colon < 0 ? undefined : named.slice(colon + 1)
  if (tag !== undefined && !isTag(tag)) {
    throw new ImageError(
      'TAG_INVALID',
      `"${clip(whole)}": "${clip(tag)}" is not a tag ([A-Za-z0-9_][A-Za-z0-9._-]{0,127})`,
    )
  }
  return {
    name: colon < 0 ? named : named.slice(0, colon),
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  }
}

function checkRepository(repository: string, whole: string): void {
  if (isRepository(repository)) return
  const why =
    repository === ''
      ? 'the repository is missing'
      : repository.length > 255
        ? 'the repository is longer than 255 characters'
        : undefined
  const hint =
    repository !== repository.toLowerCase()
      ? 'a repository path is lower case'
      : 'a repository path is [a-z0-9] with . _ - between, and / between parts'
  throw new ImageError('NAME_INVALID', `"${clip(whole)}": ${why ?? hint}`)
}

function clip(given: string): string {
  const text = withoutUserinfo(given)
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}
