/** Sources opened with their credentials, each under its own tokens, as long as they exist. Used by sources.ts and source-checks.ts. */
import type { Vault } from '../access/vault.ts'
import { ImageError } from '../oci/errors.ts'
import { isRegistryHost } from '../oci/reference.ts'
import type { Registries } from '../registry/registries.ts'
import type { SourceRow } from '../state/sources.ts'
import type { Providers } from './providers.ts'
import { SourceAccess } from './source-access.ts'
import { secretOf } from './source-object.ts'

export interface SourceDirectoryOptions {
  readonly vault: Pick<Vault, 'find'>
  readonly registries: Pick<Registries, 'get' | 'access'>
  readonly providers: Providers
}

/** Credentials to check in place of the stored ones; all absent: the stored ones. */
export interface GivenCredentials {
  readonly domain?: string
  readonly username?: string
  readonly password?: string
}

/** Half of a pair of credentials, or a domain that is none. */
export function listCredentialProblems({ domain, username, password }: GivenCredentials): string[] {
  const problems: string[] = []
  if (domain !== undefined && !isRegistryHost(domain)) {
    problems.push('domain: expected host[:port], without a scheme and a path, e.g. "harbor.example"')
  }
  if (username !== undefined && password === undefined) problems.push('password: is required with a username')
  if (password !== undefined && username === undefined) problems.push('username: is required with a password')
  return problems
}

/** Sources whose tokens and connections are remembered. */
const maxOpen = 1000

export class SourceDirectory {
  readonly #options: SourceDirectoryOptions
  /** By uid. Insertion order is age. */
  readonly #open = new Map<string, SourceAccess>()

  constructor(options: SourceDirectoryOptions) {
    this.#options = options
  }

  /** @throws ImageError where its secret can't be read, or its provider isn't there. */
  of(row: SourceRow): SourceAccess {
    const known = this.#open.get(row.uid)
    if (known !== undefined) return known
    const made = this.#make(row, row.domain, row.username ?? undefined, this.secret(row))
    this.#open.set(row.uid, made)
    for (const oldest of this.#open.keys()) {
      if (this.#open.size <= maxOpen) break
      this.#open.delete(oldest)
    }
    return made
  }

  /** The source with other credentials. The stored password goes nowhere but to its own domain: what is given stands alone. */
  with(row: SourceRow, { domain = row.domain, username, password }: GivenCredentials): SourceAccess {
    return this.#make(row, domain.toLowerCase(), username, password)
  }

  close(uid: string): void {
    this.#open.delete(uid)
  }

  /** The stored password; undefined for an anonymous source. @throws ImageError `UNAUTHORIZED` where it can't be read. */
  secret({ namespace, name, username }: SourceRow): string | undefined {
    if (username === null) return undefined
    try {
      return this.#options.vault.find(secretOf(namespace, name))
    } catch (cause) {
      throw new ImageError('UNAUTHORIZED', `the stored password of the source ${name} can not be read`, {
        cause,
        hint: "Put the vault's key back, or delete the source and create it again with its password.",
      })
    }
  }

  #make(row: SourceRow, domain: string, username: string | undefined, password: string | undefined): SourceAccess {
    const { registries, providers } = this.#options
    const provider = providers.find(row.provider)
    if (provider === undefined) {
      throw new ImageError('UNSUPPORTED', `the provider "${row.provider}" is not there`, {
        hint: 'Name its module under `management.providers` in the configuration; the log says what was wrong with it.',
      })
    }
    const credentials = username === undefined || password === undefined ? undefined : { username, password }
    return new SourceAccess({ registries, provider, domain, credentials })
  }
}
