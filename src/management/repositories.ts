/** The images that are kept in sync (Repository): their schedule, their runs, their versions. Used by http/, cli/ and lifecycle. */
import { EventEmitter } from 'node:events'
import type { RepositoryInput, SourceRef } from './documents.ts'
import type { ManagedObject } from './kinds.ts'
import type { Applied, ListQuery, Page } from './objects.ts'

export interface RepositorySpec {
  readonly repository: string
  readonly tag?: string
  readonly tagPattern?: string
  readonly registryRef: SourceRef
  readonly fallbackRefs?: readonly SourceRef[]
  readonly syncInterval: string
  readonly syncTimeout: string
  readonly retryCount: number
}

export interface RepositoryStatus {
  readonly domain: string
  readonly syncStatus: '' | 'Syncing' | 'Success' | 'Failed'
  /** `42%`; empty before the first run. */
  readonly syncProgress: string
  /** ISO 8601; absent before the first success. */
  readonly lastSynced?: string
  readonly manifest?: ManifestSummary
  /** Why the last run failed. */
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string }
  /** With a pattern: the tags that are kept. */
  readonly tags?: readonly string[]
  /** Tags that were rolled back, and stay so until somebody starts a sync. */
  readonly rolledBack?: Readonly<Record<string, string>>
}

export interface ManifestSummary {
  readonly architecture: string
  readonly os: string
  /** For people: `142MB`. */
  readonly size: string
  /** ISO 8601; empty where the image does not say. */
  readonly created: string
  readonly layers: readonly { readonly digest: string; readonly size: number }[]
}

export type Repository = ManagedObject<'Repository', RepositorySpec, RepositoryStatus>

export interface SyncRun {
  readonly trigger: 'created' | 'schedule' | 'request' | 'annotation'
  readonly by: string
  readonly startedAt: string
  readonly endedAt: string
  readonly outcome: 'Success' | 'Failed'
  /** The source that served it, `namespace/name`. */
  readonly source?: string
  readonly attempts: number
  readonly bytesMoved: number
  readonly durationMs: number
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string }
}

export interface ImageVersion {
  readonly tag: string
  readonly digest: string
  /** Bytes of the image, all of its platforms here. */
  readonly size: number
  /** When the tag came to point there, ISO 8601. */
  readonly updatedAt?: string
}

export interface VersionDifference {
  readonly onlyInA: readonly LayerOf[]
  readonly onlyInB: readonly LayerOf[]
  readonly shared: readonly LayerOf[]
  /** Bytes of each list. */
  readonly bytes: { readonly onlyInA: number; readonly onlyInB: number; readonly shared: number }
}

export interface LayerOf {
  readonly digest: string
  readonly size: number
}

/** Content that cleanup must leave alone, and for whom. Without a digest, whatever the tag points at. */
export interface RepositoryHold {
  /** `namespace/name`. */
  readonly holder: string
  readonly repository: string
  readonly tag: string | null
  readonly digest: string | null
}

export interface RepositoryEvents {
  /** It was created, changed, or its sync went on. */
  changed: [Repository]
  deleted: [{ readonly namespace: string; readonly name: string }]
}

/** All methods that act take `by`: who asked. All throw ManagementError. */
export class Repositories {
  readonly events = new EventEmitter<RepositoryEvents>()

  create(_input: RepositoryInput, _by: string): Repository {
    throw notYet()
  }

  /** Creates it, or changes its annotations and labels where its spec is the same. @throws `Conflict` where the spec differs. */
  apply(_input: RepositoryInput, _by: string): Applied<Repository> {
    throw notYet()
  }

  get(_namespace: string, _name: string): Repository {
    throw notYet()
  }

  list(_query: ListQuery): Page<Repository> {
    throw notYet()
  }

  /** Changes annotations; null removes one. A new value of `theriseunion.io/manual-sync` starts a sync. */
  annotate(
    _namespace: string,
    _name: string,
    _changes: Readonly<Record<string, string | null>>,
    _by: string,
  ): Repository {
    throw notYet()
  }

  /** Ends its syncs; what is in the local registry stays. */
  delete(_namespace: string, _name: string, _by: string): void {
    throw notYet()
  }

  /** Queues a sync and returns; one that is under way serves for it. */
  sync(_namespace: string, _name: string, _by: string): { success: boolean; message: string } {
    throw notYet()
  }

  /** The last runs, the newest first. */
  runs(_namespace: string, _name: string): readonly SyncRun[] {
    throw notYet()
  }

  /** The tags of its path in the local registry, the newest version first. */
  versions(_namespace: string, _name: string, _signal: AbortSignal): Promise<readonly ImageVersion[]> {
    throw notYet()
  }

  /** What differs between two versions: tags or digests. */
  compare(_namespace: string, _name: string, _a: string, _b: string, _signal: AbortSignal): Promise<VersionDifference> {
    throw notYet()
  }

  /** Points its tag (`tag` with a pattern) at an earlier version, a tag or a digest, until somebody starts a sync. */
  rollBack(
    _namespace: string,
    _name: string,
    _to: { readonly version: string; readonly tag?: string },
    _by: string,
    _signal: AbortSignal,
  ): Promise<Repository> {
    throw notYet()
  }

  /** What cleanup must leave alone. */
  holds(): readonly RepositoryHold[] {
    throw notYet()
  }

  /** Failed runs since the start: `image_sync_failures`. */
  get failures(): number {
    throw notYet()
  }
}

function notYet(): Error {
  return new Error('repositories are not built yet')
}
