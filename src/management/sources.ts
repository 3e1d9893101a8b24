/** The image sources (RegistrySecret): kept with their secrets encrypted, and asked whether they let us in. Used by http/, cli/ and Repositories. */
import type { RegistrySecretInput } from './documents.ts'
import type { ManagedObject } from './kinds.ts'
import type { Applied, ListQuery, Page } from './objects.ts'

/** As it is read back: without its password. */
export type RegistrySecret = ManagedObject<
  'RegistrySecret',
  { readonly domain: string; readonly username?: string; readonly provider: string },
  {
    readonly verifyStatus: 'untested' | 'success' | 'failed'
    /** Of the last check that got an answer. */
    readonly latencyMs?: number
  }
>

/** The answer of a check. */
export interface Verification {
  readonly success: boolean
  /** In plain words. */
  readonly message: string
  readonly latencyMs?: number
}

/** Credentials to check in place of the stored ones; all absent: the stored ones. */
export interface GivenCredentials {
  readonly domain?: string
  readonly username?: string
  readonly password?: string
}

export interface BrowseQuery {
  /** Part of the name. */
  readonly search?: string
  /** At most so many names. Default 100, at most 1000. */
  readonly limit?: number
}

export interface Listing {
  readonly names: readonly string[]
  /** Whether there are more that fit. */
  readonly more: boolean
}

/** All methods that act take `by`: who asked. All throw ManagementError. */
export class Sources {
  /** Names that `spec.provider` may have. */
  get providers(): readonly string[] {
    throw notYet()
  }

  create(_input: RegistrySecretInput, _by: string): RegistrySecret {
    throw notYet()
  }

  /** Creates it, or changes its annotations and labels where its spec is the same. @throws `Conflict` where the spec differs. */
  apply(_input: RegistrySecretInput, _by: string): Applied<RegistrySecret> {
    throw notYet()
  }

  get(_namespace: string, _name: string): RegistrySecret {
    throw notYet()
  }

  list(_query: ListQuery): Page<RegistrySecret> {
    throw notYet()
  }

  /** Changes annotations; null removes one. */
  annotate(
    _namespace: string,
    _name: string,
    _changes: Readonly<Record<string, string | null>>,
    _by: string,
  ): RegistrySecret {
    throw notYet()
  }

  /** Removes it and its stored secret. @throws `Conflict` while a Repository refers to it. */
  delete(_namespace: string, _name: string, _by: string): void {
    throw notYet()
  }

  /** Asks the registry, writes the verify annotations, and answers. A failure is an answer, too. */
  verify(
    _namespace: string,
    _name: string,
    _given: GivenCredentials,
    _by: string,
    _signal: AbortSignal,
  ): Promise<Verification> {
    throw notYet()
  }

  /** Paths at the source, for a person to pick from. @throws ImageError of the registry. */
  listRepositories(_namespace: string, _name: string, _query: BrowseQuery, _signal: AbortSignal): Promise<Listing> {
    throw notYet()
  }

  /** Tags of a path at the source, newest version first. @throws ImageError of the registry. */
  listTags(
    _namespace: string,
    _name: string,
    _repository: string,
    _query: BrowseQuery,
    _signal: AbortSignal,
  ): Promise<Listing> {
    throw notYet()
  }

  /** Failed connections since the start, by the source's name: `image_registry_connection_failures{registry_name}`. */
  connectionFailures(): ReadonlyMap<string, number> {
    throw notYet()
  }
}

function notYet(): Error {
  return new Error('sources are not built yet')
}
