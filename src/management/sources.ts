/** The image sources (RegistrySecret): kept with their secrets encrypted, and asked whether they let us in. Used by http/, cli/ and Repositories. */
import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { By } from '../access/tokens.ts'
import type { Vault } from '../access/vault.ts'
import type { ImageError } from '../oci/errors.ts'
import type { Registries } from '../registry/registries.ts'
import type { State } from '../state/database.ts'
import { RepositoryRows } from '../state/repositories.ts'
import { type SourceRow, SourceRows } from '../state/sources.ts'
import { listAnnotationProblems, type RegistrySecretInput, type SourceRef } from './documents.ts'
import { alreadyExists, conflict, invalid, notFound } from './management-error.ts'
import {
  type Applied,
  type AuditedParts,
  type AuditLog,
  audited,
  auditedTogether,
  changed,
  type ListQuery,
  type Page,
  readTexts,
  type Step,
  sameTexts,
  searchText,
  type Texts,
  toRowQuery,
} from './objects.ts'
import type { Providers } from './providers.ts'
import type { SourceAccess } from './source-access.ts'
import { connectionCodes } from './source-check.ts'
import { SourceChecks } from './source-checks.ts'
import { type GivenCredentials, listCredentialProblems, SourceDirectory } from './source-directory.ts'
import { hinted } from './source-hints.ts'
import { type RegistrySecret, secretOf, sourceName, toRegistrySecret } from './source-object.ts'
import { listSourceTags } from './source-tags.ts'

export type { GivenCredentials } from './source-directory.ts'
export type { RegistrySecret } from './source-object.ts'

/** Repositories that a refusal names. */
const maxNamed = 3

/** The answer of a check. */
export interface Verification {
  readonly success: boolean
  /** In plain words. */
  readonly message: string
  readonly latencyMs?: number
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

export interface SourcesOptions {
  readonly state: Pick<State, 'db'>
  readonly vault: Pick<Vault, 'put' | 'find' | 'remove'>
  readonly registries: Pick<Registries, 'get' | 'access'>
  readonly providers: Providers
  readonly audit: AuditLog
  readonly logger: Logger
  /** Between two checks of a source by itself. Default 10 min. */
  readonly verifyIntervalMs?: number
  /** For one check. Default 15 s. */
  readonly verifyTimeoutMs?: number
  /** Epoch milliseconds. */
  readonly now?: () => number
  /** In [0, 1), for tests. */
  readonly random?: () => number
}

const defaultLimit = 100
const maxLimit = 1000

/** All methods that act take `by`: who asked, and from where. All throw ManagementError. */
export class Sources {
  readonly #options: SourcesOptions
  readonly #rows: SourceRows
  readonly #repositories: RepositoryRows
  readonly #directory: SourceDirectory
  readonly #checks: SourceChecks
  readonly #now: () => number

  constructor(options: SourcesOptions) {
    const { state, logger, now = Date.now } = options
    this.#options = options
    this.#now = now
    this.#rows = new SourceRows(state.db)
    this.#repositories = new RepositoryRows(state.db)
    this.#directory = new SourceDirectory(options)
    this.#checks = new SourceChecks({
      ...{ rows: this.#rows, directory: this.#directory, logger, now },
      intervalMs: options.verifyIntervalMs ?? 600_000,
      timeoutMs: options.verifyTimeoutMs ?? 15_000,
      random: options.random ?? Math.random,
    })
  }

  /** Begins to check sources by itself. */
  start(): void {
    this.#checks.start()
  }

  async stop(): Promise<void> {
    await this.#checks.stop()
  }

  /** Names that `spec.provider` may have. */
  get providers(): readonly string[] {
    return this.#options.providers.names
  }

  create(input: RegistrySecretInput, by: By): RegistrySecret {
    const { event, work } = this.#creation(input, by)
    return audited(this.#parts, event, work)
  }

  /** All of them, or none. @throws ManagementError that names the place of the one that is refused. */
  createAll(inputs: readonly RegistrySecretInput[], by: By): readonly RegistrySecret[] {
    return auditedTogether(
      this.#parts,
      inputs.map(input => this.#creation(input, by)),
    )
  }

  /** Creates it, or changes its annotations and labels where its spec is the same. @throws `Conflict` where the spec differs. */
  apply(input: RegistrySecretInput, by: By): Applied<RegistrySecret> {
    const { namespace, name, annotations, labels } = input.metadata
    const row = this.#rows.find(namespace, name)
    if (row === undefined) return { object: this.create(input, by), outcome: 'created' }
    if (!this.#isSame(row, input)) {
      throw conflict(
        sourceName(namespace, name),
        `the spec of RegistrySecret "${name}" can not be changed: delete it and create it again`,
      )
    }
    const own = readTexts(row.annotations)
    const after = { annotations: changed(own, annotations), labels }
    if (sameTexts(own, after.annotations) && sameTexts(readTexts(row.labels), labels)) {
      return { object: toRegistrySecret(row), outcome: 'unchanged' }
    }
    return { object: this.#describe(row, after, by), outcome: 'configured' }
  }

  get(namespace: string, name: string): RegistrySecret {
    return toRegistrySecret(this.#row(namespace, name))
  }

  has(namespace: string, name: string): boolean {
    return this.#rows.find(namespace, name) !== undefined
  }

  list(query: ListQuery): Page<RegistrySecret> {
    const { rows, total } = this.#rows.list(toRowQuery(query))
    return { items: rows.map(toRegistrySecret), totalItems: total }
  }

  /** Changes annotations; null removes one. */
  annotate(namespace: string, name: string, changes: Readonly<Record<string, string | null>>, by: By): RegistrySecret {
    const row = this.#row(namespace, name)
    const problems = listAnnotationProblems(changes)
    if (problems.length > 0) throw invalid(sourceName(namespace, name), problems)
    const annotations = changed(readTexts(row.annotations), changes)
    return this.#describe(row, { annotations, labels: readTexts(row.labels) }, by)
  }

  /** Removes it and its stored secret. @throws `Conflict` while a Repository refers to it. */
  delete(namespace: string, name: string, by: By): void {
    const object = sourceName(namespace, name)
    audited(this.#parts, { ...by, action: 'sources:delete', object }, () => {
      const row = this.#row(namespace, name)
      const users = this.#repositories.referringTo(namespace, name)
      if (users.length > 0) {
        // Whose they are in other namespaces is not for everyone to know.
        const own = users.filter(user => user.namespace === namespace).map(user => `"${user.name}"`)
        const named = own.length > maxNamed ? [...own.slice(0, maxNamed), `${own.length - maxNamed} more`] : own
        const who = own.length < users.length ? [...named, 'one of another namespace'] : named
        const what = users.length > 1 ? 'delete those first' : 'delete that first'
        throw conflict(object, `RegistrySecret "${name}" is in use by Repository ${who.join(', ')}: ${what}`)
      }
      this.#options.vault.remove(secretOf(namespace, name))
      this.#rows.remove(row.uid)
      this.#directory.close(row.uid)
    })
  }

  /** Asks the registry, writes the verify annotations, and answers. A failure is an answer, too. */
  async verify(
    namespace: string,
    name: string,
    given: GivenCredentials,
    by: By,
    signal: AbortSignal,
  ): Promise<Verification> {
    const row = this.#row(namespace, name)
    const problems = listCredentialProblems(given)
    if (problems.length > 0) throw invalid(sourceName(namespace, name), problems)
    const isStored = given.domain === undefined && given.username === undefined && given.password === undefined
    const access = () => (isStored ? this.#directory.of(row) : this.#directory.with(row, given))
    const result = await this.#checks.check(row, access, signal)
    this.#options.audit.record({
      ...{ ...by, action: 'sources:verify', object: sourceName(namespace, name) },
      outcome: result.success ? 'success' : 'failure',
      detail: { domain: given.domain ?? row.domain, ...(result.code === undefined ? {} : { reason: result.code }) },
    })
    const { success, message, latencyMs } = result
    return { success, message, ...(latencyMs === undefined ? {} : { latencyMs }) }
  }

  /** Paths at the source, for a person to pick from. @throws ImageError of the registry. */
  async listRepositories(namespace: string, name: string, query: BrowseQuery, signal: AbortSignal): Promise<Listing> {
    const access = this.#directory.of(this.#row(namespace, name))
    const { search, limit } = bounds(query)
    const found = await hinted(
      { namespace, name },
      access.provider.listRepositories(access, { search, limit: limit + 1, signal }),
    )
    return { names: found.slice(0, limit), more: found.length > limit }
  }

  /** Tags of a path at the source, newest version first. @throws ImageError of the registry. */
  async listTags(
    namespace: string,
    name: string,
    repository: string,
    query: BrowseQuery,
    signal: AbortSignal,
  ): Promise<Listing> {
    const access = this.#directory.of(this.#row(namespace, name))
    const { search, limit } = bounds(query)
    const found = await hinted({ namespace, name }, listSourceTags(access, repository, search, signal))
    return { names: found.slice(0, limit), more: found.length > limit }
  }

  /** What is wrong with a path at a source, as its provider sees it. */
  pathProblem({ namespace, name }: SourceRef, path: string): string | undefined {
    const row = this.#row(namespace, name)
    return this.#options.providers.find(row.provider)?.checkPath(path)
  }

  /** The source of a Repository, for a sync. @throws ManagementError `NotFound`; ImageError where its secret can't be read. */
  open({ namespace, name }: SourceRef): SourceAccess {
    return this.#directory.of(this.#row(namespace, name))
  }

  /** The references, those whose last check or sync has failed at the end. */
  byHealth(refs: readonly SourceRef[]): readonly SourceRef[] {
    const fails = ({ namespace, name }: SourceRef) => this.#rows.find(namespace, name)?.verifyStatus === 'failed'
    return [...refs.filter(ref => !fails(ref)), ...refs.filter(fails)]
  }

  /** Takes note of how a sync went with a source: a connection that failed is looked at soon, and counts. */
  report({ namespace, name }: SourceRef, error: ImageError | undefined): void {
    const row = this.#rows.find(namespace, name)
    if (row === undefined || error === undefined || !connectionCodes.has(error.code)) return
    this.#checks.countFailure(name)
    this.#rows.setVerifyDue(row.uid, this.#now())
  }

  /**
   * Failed connections since the start, by the source's name: `image_registry_connection_failures{registry_name}`. Of every source, lest a
   * first failure be a new series, in which Prometheus sees no increase.
   */
  connectionFailures(): ReadonlyMap<string, number> {
    return new Map(this.#rows.names().map(name => [name, this.#checks.failures.get(name) ?? 0]))
  }

  /** Begins the checks that are due; resolves when they have ended. Done every 5 s by itself. */
  async tick(): Promise<void> {
    this.#checks.begin()
    await this.#checks.settle()
  }

  #creation({ metadata, spec }: RegistrySecretInput, by: By): Step<RegistrySecret> {
    const { namespace, name, annotations, labels } = metadata
    const object = sourceName(namespace, name)
    const { provider, domain, username = null, password } = spec
    const work = () => {
      if (this.#rows.find(namespace, name)) throw alreadyExists(object)
      const { vault } = this.#options
      if (password === undefined) vault.remove(secretOf(namespace, name))
      else vault.put(secretOf(namespace, name), password)
      this.#rows.add({
        ...{ namespace, name, uid: randomUUID(), createdAt: this.#now(), provider, domain, username },
        annotations: JSON.stringify(annotations),
        labels: JSON.stringify(labels),
        search: searchText(name, annotations, domain),
        ...{ verifyStatus: 'untested', verifyMessage: '', verifiedAt: null, latencyMs: null },
        verifyDueAt: this.#checks.nextCheck(),
      })
      return this.get(namespace, name)
    }
    return { event: { ...by, action: 'sources:create', object, detail: { provider, domain } }, work }
  }

  #describe(row: SourceRow, { annotations, labels }: { annotations: Texts; labels: Texts }, by: By): RegistrySecret {
    const { namespace, name, uid, domain } = row
    return audited(this.#parts, { ...by, action: 'sources:change', object: sourceName(namespace, name) }, () => {
      const search = searchText(name, annotations, domain)
      this.#rows.setMetadata({ uid, annotations: JSON.stringify(annotations), labels: JSON.stringify(labels), search })
      return this.get(namespace, name)
    })
  }

  #isSame(row: SourceRow, { spec }: RegistrySecretInput): boolean {
    const { domain, provider, username = null, password } = spec
    if (row.domain !== domain || row.provider !== provider || row.username !== username) return false
    return this.#directory.secret(row) === password
  }

  #row(namespace: string, name: string): SourceRow {
    const row = this.#rows.find(namespace, name)
    if (row === undefined) throw notFound(sourceName(namespace, name))
    return row
  }

  get #parts(): AuditedParts {
    return { db: this.#options.state.db, audit: this.#options.audit }
  }
}

function bounds({ search = '', limit = defaultLimit }: BrowseQuery): { search: string; limit: number } {
  return { search: search.trim().toLowerCase(), limit: Math.min(Math.max(1, Math.trunc(limit)), maxLimit) }
}
