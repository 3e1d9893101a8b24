/**
 * What the routes of image management ask of the rooms behind them; the classes of management/ fit structurally, tests give small ones
 * of their own. Methods that name an object throw a ManagementError `NotFound` where there is none; `by` is who asked.
 */
import type { FastifyRequest } from 'fastify'
import type { Caller, Right } from '../../access/roles.ts'
import type { ImageCleanupPolicyInput } from '../../management/documents.ts'
import type { Applied, ListQuery, Page } from '../../management/objects.ts'
import type { Repositories } from '../../management/repositories.ts'
import type { Sources } from '../../management/sources.ts'

/** An object as it is told: the contract's fields, no secret among them. */
export interface ToldObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly annotations: Readonly<Record<string, string>>
  }
  readonly spec: object
}

/** What the three kinds have in common. */
export interface Collection<Input> {
  list(query: ListQuery): Page<ToldObject>
  get(namespace: string, name: string): ToldObject
  /** @throws ManagementError `AlreadyExists`, or `NotFound` or `Invalid` for what it refers to. */
  create(input: Input, by: string): ToldObject
  /** @throws ManagementError `Conflict` where what stands there has another spec. */
  apply(input: Input, by: string): Applied<ToldObject>
  /** Sets annotations that people may edit; `null` takes one away. */
  annotate(namespace: string, name: string, changes: Readonly<Record<string, string | null>>, by: string): ToldObject
  /** @throws ManagementError `Conflict` while it is in use. */
  delete(namespace: string, name: string, by: string): void
}

export type SourcesFace = Pick<
  Sources,
  'providers' | 'list' | 'get' | 'create' | 'apply' | 'annotate' | 'delete' | 'verify' | 'listRepositories' | 'listTags'
>

export type RepositoriesFace = Pick<
  Repositories,
  'list' | 'get' | 'create' | 'apply' | 'annotate' | 'delete' | 'sync' | 'runs' | 'versions' | 'compare' | 'rollBack'
>

/** One image of a cleanup's report. */
export interface CleanupItem {
  readonly repository: string
  readonly tag: string | null
  readonly digest: string
  readonly action: 'keep' | 'remove'
  readonly reason: string
}

export interface CleanupReport {
  readonly items: readonly CleanupItem[]
  /** Of the blobs that nothing else needs. */
  readonly bytesFreed: number
}

export interface PoliciesFace extends Collection<ImageCleanupPolicyInput> {
  /** What a run would do now. Changes nothing. */
  dryRun(namespace: string, name: string, signal: AbortSignal): Promise<CleanupReport>
  /** Removes what the policy says. */
  run(namespace: string, name: string, by: string, signal: AbortSignal): Promise<CleanupReport>
}

/** Which object a call was about, for the audit. */
export interface Asked {
  readonly kind: string
  readonly namespace?: string
  readonly name: string
}

export interface AccessFace {
  /** Who sent the request; undefined where it came without a token. */
  callerOf(request: FastifyRequest): Caller | undefined
  /** Writes down that somebody asked for what he may not do. */
  denied(request: FastifyRequest, right: Right, object: Asked): void
}

export interface ManagementFace {
  readonly sources: SourcesFace
  readonly repositories: RepositoriesFace
  readonly policies: PoliciesFace
  readonly access: AccessFace
}
