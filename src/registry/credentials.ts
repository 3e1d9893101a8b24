/**
 * Who we are to a registry: from the host's own options, else from a docker config.json's `auths`.
 * The file's form: docker/cli, cli/config/configfile.
 */
import { readFile } from 'node:fs/promises'
import type { Logger } from 'pino'
import { type Static, Type } from 'typebox'
import { Shape } from '../oci/shape.ts'
import type { HostOptions } from './connections.ts'

export type Credentials =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token, as `docker login` keeps for some registries. */
  | { readonly kind: 'identity'; readonly token: string }

const text = Type.Optional(Type.String({ maxLength: 64 * 1024 }))
const AuthEntry = Type.Object({ auth: text, username: text, password: text, identitytoken: text })
const dockerConfig = new Shape(
  Type.Object({
    auths: Type.Optional(Type.Record(Type.String(), AuthEntry)),
    credsStore: Type.Optional(Type.String()),
    credHelpers: Type.Optional(Type.Record(Type.String(), Type.String())),
  }),
)

/** Looks credentials up by host. The file is read once, at the first question; it is never written. */
export class CredentialStore {
  readonly #hosts: readonly HostOptions[]
  readonly #file: string | undefined
  readonly #logger: Logger
  #fromFile: Promise<ReadonlyMap<string, Credentials>> | undefined

  constructor(options: { hosts: readonly HostOptions[]; dockerConfig?: string | undefined; logger: Logger }) {
    this.#hosts = options.hosts
    this.#file = options.dockerConfig
    this.#logger = options.logger
  }

  /** The credentials for a host as {@link registryKey} names it, or undefined: then we are anonymous. */
  async find(host: string): Promise<Credentials | undefined> {
    const own = this.#hosts.find(one => registryKey(one.host) === host)
    if (own?.username !== undefined) {
      return { kind: 'basic', username: own.username, password: own.password ?? '' }
    }
    if (this.#file === undefined) return undefined
    this.#fromFile ??= this.#read(this.#file)
    return (await this.#fromFile).get(host)
  }

  async #read(file: string): Promise<ReadonlyMap<string, Credentials>> {
    try {
      const document: unknown = JSON.parse(await readFile(file, 'utf8'))
      if (!dockerConfig.check(document)) throw new Error('it does not have the form of a docker config.json')
      if (document.credsStore !== undefined || document.credHelpers !== undefined) {
        this.#logger.warn(
          { file },
          'the docker config names credential helpers; they are not run, only its auths are used',
        )
      }
      return readAuths(document.auths ?? {})
    } catch (error) {
      // Anonymous pulls may still do, and the next 401 names the host that needs more. JSON's messages quote the text: not logged.
      const reason =
        error instanceof SyntaxError ? 'it is not JSON' : error instanceof Error ? error.message : String(error)
      this.#logger.error(
        { file, reason },
        'the docker config can not be used; hosts without credentials of their own are asked anonymously',
      )
      return new Map()
    }
  }
}

/** A host's one name: lower case, without scheme and path, all of Docker Hub's names as `docker.io`. */
export function registryKey(text: string): string {
  const host = text
    .replace(/^[a-z][a-z0-9+.-]*:\/\//i, '')
    .replace(/\/.*$/, '')
    .toLowerCase()
  return host === 'index.docker.io' || host === 'registry-1.docker.io' ? 'docker.io' : host
}

function readAuths(auths: Readonly<Record<string, Static<typeof AuthEntry>>>): ReadonlyMap<string, Credentials> {
  const found = new Map<string, Credentials>()
  // A bare host says more exactly what is meant than one with a path, so it is read last and wins.
  const keys = Object.keys(auths).sort((a, b) => Number(isBare(a)) - Number(isBare(b)))
  for (const key of keys) {
    const credentials = toCredentials(auths[key] ?? {})
    if (credentials !== undefined) found.set(registryKey(key), credentials)
  }
  return found
}

function isBare(key: string): boolean {
  return registryKey(key) === key
}

function toCredentials(entry: Static<typeof AuthEntry>): Credentials | undefined {
  if (entry.identitytoken) return { kind: 'identity', token: entry.identitytoken }
  if (entry.auth) {
    // `docker login` pads old entries with NUL.
    const plain = Buffer.from(entry.auth, 'base64').toString().replace(/\0+$/, '')
    const colon = plain.indexOf(':')
    if (colon > 0) return { kind: 'basic', username: plain.slice(0, colon), password: plain.slice(colon + 1) }
  }
  if (entry.username) return { kind: 'basic', username: entry.username, password: entry.password ?? '' }
  return undefined
}
