/** The forms that values of the configuration have, as TypeBox schemas with the text that says what was expected, and their parsers. Used by schema.ts. */
import { hostname } from 'node:os'
import { type TSchema, Type } from 'typebox'
import { formatPlatform, hostPlatform, parsePlatform } from '../oci/platform.ts'
import { parseDuration, parseRate, parseSize } from '../oci/quantities.ts'
import { isRegistryHost, isRepository, parseRepositoryReference } from '../oci/reference.ts'

/** What a key's schema says beyond its type. */
export interface KeyFacts {
  readonly description?: string
  /** What a right value is, for the message about a wrong one. */
  readonly expected?: string
  /** The default in words, where it is not a fixed value. */
  readonly defaultText?: string
  /** Never printed. */
  readonly secret?: boolean
  /** Not printed when it is wrong: it may then hold a secret that belongs elsewhere. */
  readonly secretWhenWrong?: boolean
  /** A path in the file system; relative to the folder of the configuration file. A file must be readable. */
  readonly path?: 'file' | 'folder'
  /** A value to show in the sample file for a key without default. */
  readonly example?: unknown
}

/** `host:port` taken apart. */
export interface ListenAddress {
  /** Without the brackets of an IPv6 address. */
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
}

/** Another host for an upstream's content. `prefix` goes before the repository, with a slash, where it is not empty. */
export interface UpstreamMirror {
  readonly host: string
  readonly prefix: string
}

/** `127.0.0.1:8080`, `[::1]:8080`, `localhost:0`; undefined for any other text. */
export function parseListen(text: string): ListenAddress | undefined {
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text)
  const host = parts?.[1] ?? parts?.[2]
  const port = Number(parts?.[3])
  return host === undefined || port > 65535 ? undefined : { host, port }
}

/** Whether only this machine reaches a host's address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

/** The text that {@link parseListen} reads. */
export function formatListen(address: ListenAddress): string {
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
}

/** `mirror.example` or `mirror.example/prefix`; undefined for any other text. */
export function parseMirror(text: string): UpstreamMirror | undefined {
  const slash = text.indexOf('/')
  const host = (slash < 0 ? text : text.slice(0, slash)).toLowerCase()
  const prefix = slash < 0 ? '' : text.slice(slash + 1)
  if (!isRegistryHost(host) || (slash >= 0 && !isRepository(prefix))) return undefined
  return { host, prefix }
}

/** How full: a share of the disk (0 to 1), or bytes of content. */
export type DiskMark = { readonly share: number } | { readonly bytes: number }

/** `85%` of the disk, or a size of the local registry's content; undefined for any other text. */
export function parseDiskMark(text: string): DiskMark | undefined {
  const percent = /^(\d{1,2}(?:\.\d{1,3})?) ?%$/.exec(text)?.[1]
  if (percent !== undefined) return Number(percent) > 0 ? { share: Number(percent) / 100 } : undefined
  const bytes = parseSize(text)
  return bytes === undefined || bytes === 0 ? undefined : { bytes }
}

/** `1%` as 0.01; undefined for any other text, and beyond 0 to 100. */
export function parseShare(text: string): number | undefined {
  const parts = /^(\d{1,3}(?:\.\d{1,2})?) ?%$/.exec(text.trim())
  const share = parts === null ? 0 : Number(parts[1]) / 100
  return share > 0 && share <= 1 ? share : undefined
}

/** The host as references name it (`index.docker.io` is `docker.io`); undefined for a text that no reference can name as a host. */
export function parseUpstreamHost(text: string): string | undefined {
  if (!isRegistryHost(text)) return undefined
  const { registry, repository } = parseRepositoryReference(`${text}/a/b`)
  return repository === 'a/b' ? registry : undefined
}

/** The host name as an agent's id: lower case, at most 63 of `[a-z0-9-]`, starting with a letter or digit. */
export function defaultId(name = hostname()): string {
  const id = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 63)
    .replace(/-+$/, '')
  return id === '' ? 'edge' : id
}

/** Where the agent keeps its state when no folder is named. */
export const defaultStateDir = '/var/lib/edge-image-agent'
export const maxListItems = 1000
export const idPattern = /^[a-z0-9][a-z0-9-]{0,62}$/
export const idForm = 'lower case letters, digits and "-", at most 63, starting with a letter or digit'
export const hostForm = 'host or host:port, without a scheme'

export function text(expected: string, right: (value: string) => boolean, facts: KeyFacts & { default?: string }) {
  return Type.Refine(Type.String({ expected, ...facts }), right)
}
export function listen(value: string, description: string) {
  const expected = 'host:port, e.g. 127.0.0.1:8080 or [::]:8080'
  return text(expected, one => parseListen(one) !== undefined, { default: value, description })
}
export function duration(minimum: string, maximum: string, value: string, description: string) {
  const [least = 0, most = 0] = [parseDuration(minimum), parseDuration(maximum)]
  const right = (one: string) => {
    const ms = parseDuration(one)
    return ms !== undefined && ms >= least && ms <= most
  }
  return text(`a duration from ${minimum} to ${maximum}, e.g. 30s, 10m, 24h, 7d`, right, {
    default: value,
    description,
  })
}
export function diskMark(value: string, description: string) {
  const expected = 'a share of the disk above 0 and below 100 %, or a size, e.g. 85% or 200GB'
  return text(expected, one => parseDiskMark(one) !== undefined, { default: value, description })
}
export function rate(value: string, description: string) {
  const expected = 'a rate of at least 1KB (per second), e.g. 20MB or 100Mbit'
  return text(expected, one => (parseRate(one) ?? 0) >= 1000, { default: value, description })
}
export function file(example: string, description: string) {
  const expected = 'the path of a file'
  return Type.Optional(text(expected, one => one !== '', { path: 'file', example, description }))
}
export function folder(facts: KeyFacts & { default?: string }) {
  return text('the path of a folder', one => one !== '', { path: 'folder', ...facts })
}
export function word(example: string, description: string) {
  return Type.Optional(text('text', one => one !== '', { example, description }))
}
export function secret(description: string) {
  const expected = 'text (in quotes where it looks like a number)'
  return Type.Optional(text(expected, one => one !== '', { secret: true, description }))
}
export function flag(value: boolean, description: string) {
  return Type.Boolean({ expected: 'true or false', default: value, description })
}
/** A URL of one of the schemes. Credentials have keys of their own. */
export function url(schemes: readonly string[], path: 'any path' | 'no path', example: string, description: string) {
  const right = (one: string) => {
    const parsed = URL.canParse(one) ? new URL(one) : undefined
    if (parsed === undefined || !schemes.includes(parsed.protocol.slice(0, -1)) || parsed.hostname === '') return false
    if (path === 'no path' && parsed.pathname !== '' && parsed.pathname !== '/') return false
    return parsed.username === '' && parsed.password === '' && parsed.search === '' && parsed.hash === ''
  }
  const starts = schemes.map(one => `${one}://`).join(' or ')
  // A wrong one is not shown in the message: it may hold a password.
  const without = path === 'no path' ? 'a path, a user or a password' : 'a user or password'
  return text(`a URL that starts with ${starts}, without ${without} in it`, right, {
    secretWhenWrong: true,
    example,
    description,
  })
}
export function list<T extends TSchema>(items: T, facts: KeyFacts & { default?: unknown[] }) {
  return Type.Array(items, {
    expected: `a list, [one, two], of at most ${maxListItems}`,
    maxItems: maxListItems,
    ...facts,
  })
}
export function platformText() {
  return text('os/architecture[/variant], e.g. linux/arm64', isPlatform, {})
}
function isPlatform(one: string): boolean {
  try {
    parsePlatform(one)
    return true
  } catch {
    return false
  }
}

/** What the schema of a key says beyond its type. */
export function factsOf(schema: TSchema): KeyFacts & { readonly default?: unknown } {
  return schema
}

/** {@link hostPlatform} as a list for `agent.platforms`. */
export function defaultPlatforms(): string[] {
  return [formatPlatform(hostPlatform())]
}
