/**
 * What the routes of image management ask of the rooms behind them; the classes of management/ fit structurally, tests give small ones
 * of their own. Methods that name an object throw a ManagementError `NotFound` where there is none; `by` is who asked, and from where.
 */
import type { FastifyRequest } from 'fastify'
import type { Caller, Right } from '../../access/roles.ts'
import type { By } from '../../access/tokens.ts'
import type { Policies } from '../../management/lifecycle/policies.ts'
import type { Applied, ListQuery, Page } from '../../management/objects.ts'
import type { Repositories } from '../../management/repositories.ts'
import type { Sources } from '../../management/sources.ts'
import type { Asked } from '../access/logins.ts'

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
  create(input: Input, by: By): ToldObject
  /** All of them, or none. @throws the same, with the place of the one that is refused. */
  createAll(inputs: readonly Input[], by: By): readonly ToldObject[]
  /** @throws ManagementError `Conflict` where what stands there has another spec. */
  apply(input: Input, by: By): Applied<ToldObject>
  /** Sets annotations that people may edit; `null` takes one away. */
  annotate(namespace: string, name: string, changes: Readonly<Record<string, string | null>>, by: By): ToldObject
  /** @throws ManagementError `Conflict` while it is in use. */
  delete(namespace: string, name: string, by: By): void
}

export type SourcesFace = Pick<
  Sources,
  | 'providers'
  | 'list'
  | 'get'
  | 'create'
  | 'createAll'
  | 'apply'
  | 'annotate'
  | 'delete'
  | 'verify'
  | 'listRepositories'
  | 'listTags'
>

export type RepositoriesFace = Pick<
  Repositories,
  | 'list'
  | 'get'
  | 'create'
  | 'createAll'
  | 'apply'
  | 'annotate'
  | 'delete'
  | 'sync'
  | 'runs'
  | 'versions'
  | 'compare'
  | 'rollBack'
>

export type PoliciesFace = Pick<
  Policies,
  'list' | 'get' | 'create' | 'createAll' | 'apply' | 'annotate' | 'delete' | 'dryRun' | 'run'
>

export interface AccessFace {
  /** Who sent the request; undefined where it came without a token. */
  callerOf(request: FastifyRequest): Caller | undefined
  /** Puts on record that the caller asked for what he may not do. */
  denied(request: FastifyRequest, right: Right, object: Asked): void
}

export interface ManagementFace {
  readonly sources: SourcesFace
  readonly repositories: RepositoriesFace
  readonly policies: PoliciesFace
  readonly access: AccessFace
}
