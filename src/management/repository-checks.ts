/** What stands against a new Repository, beyond the form of its document: its sources, and others that put content under the same name. Used by repositories.ts. */
import type { RepositoryRow } from '../state/repositories.ts'
import type { RepositoryInput, SourceRef } from './documents.ts'
import { type RepositorySpec, readSpec } from './repository-object.ts'
import type { Sources } from './sources.ts'
import { parseTagPattern } from './tag-pattern.ts'

type Wanted = Pick<RepositorySpec, 'tag' | 'tagPattern'>

/** Sources that are not there, and a path that its provider can't have. */
export function listCreationProblems(
  spec: RepositoryInput['spec'],
  sources: Pick<Sources, 'has' | 'get' | 'pathProblem'>,
): string[] {
  const { registryRef, fallbackRefs = [], repository } = spec
  const refs: [string, SourceRef][] = [
    ['spec.registryRef', registryRef],
    ...fallbackRefs.map((ref, at): [string, SourceRef] => [`spec.fallbackRefs[${at}]`, ref]),
  ]
  const missing = refs.filter(([, { namespace, name }]) => !sources.has(namespace, name))
  if (missing.length > 0) {
    return missing.map(
      ([path, { namespace, name }]) => `${path}: there is no RegistrySecret "${name}" in namespace "${namespace}"`,
    )
  }
  // A path may begin with what looks like a host; with the source's own it is none.
  const { domain } = sources.get(registryRef.namespace, registryRef.name).spec
  if (repository.startsWith(`${domain}/`)) {
    const path = repository.slice(domain.length + 1)
    return [
      `spec.repository: expected a path without a host: write repository: "${path}"; the host belongs to the RegistrySecret`,
    ]
  }
  const problem = sources.pathProblem(registryRef, repository)
  return problem === undefined ? [] : [`spec.repository: ${problem}`]
}

/** Two Repositories of different registries under one name of the local registry would take the tag from each other for ever. */
export function listTargetProblems(spec: RepositorySpec, domain: string, others: readonly RepositoryRow[]): string[] {
  const rival = others.find(other => other.domain !== domain && mayMeet(spec, readSpec(other)))
  if (rival === undefined) return []
  const name = spec.tag === undefined ? spec.repository : `${spec.repository}:${spec.tag}`
  return [`${name} of the local registry is kept in sync from another registry already`]
}

function mayMeet(a: Wanted, b: Wanted): boolean {
  if (a.tag !== undefined && b.tag !== undefined) return a.tag === b.tag
  if (a.tag !== undefined) return parseTagPattern(b.tagPattern ?? '')?.(a.tag) ?? false
  if (b.tag !== undefined) return parseTagPattern(a.tagPattern ?? '')?.(b.tag) ?? false
  return true
}
