/** A merge patch of an object (RFC 7386): people may edit annotations, and nothing else. Contract, "RegistrySecret" and "Repository". */
import { listAnnotationProblems } from '../../management/documents.ts'
import { isMapping } from '../../management/fields.ts'
import { writtenAnnotations } from '../../management/kinds.ts'
import type { ToldObject } from './face.ts'
import type { Resource } from './resources.ts'
import { StatusError } from './status.ts'

const written = new Set<string>(Object.values(writtenAnnotations))

/** The annotations that the patch changes; null takes one away. @throws StatusError 400 with everything that can't be changed. */
export function readPatch(patch: unknown, current: ToldObject, resource: Resource): Record<string, string | null> {
  const { name } = current.metadata
  const refuse = (problems: readonly string[]) =>
    new StatusError(400, problems.join('; '), { problems, name, kind: resource.singular })
  if (!isMapping(patch)) throw refuse(['the patch: expected an object, e.g. {"metadata": {"annotations": {…}}}'])
  const { metadata = {}, status: _, ...rest } = patch
  if (!isMapping(metadata)) throw refuse(['metadata: expected an object with annotations'])
  const { annotations = {}, ...others } = metadata
  if (!isMapping(annotations)) throw refuse(['metadata.annotations: expected an object of texts'])
  const fixed = [...listDifferences(rest, current, ''), ...listDifferences(others, current.metadata, 'metadata.')]
  const problems = fixed.map(path => `${path}: can not be changed: delete the ${resource.singular} and create it again`)
  const changes: Record<string, string | null> = {}
  for (const [key, value] of Object.entries(annotations)) {
    // What the server wrote comes back with an object that was read; unchanged, it is no change.
    if (written.has(key) && value === current.metadata.annotations[key]) continue
    if (value === null || typeof value === 'string') changes[key] = value
    else problems.push(`metadata.annotations["${key.slice(0, 100)}"]: expected text, or null to remove it`)
  }
  problems.push(...listAnnotationProblems(changes))
  if (problems.length > 0) throw refuse(problems)
  return changes
}

/** The object after the patch. RFC 7386, 2. */
export function mergePatch(current: unknown, patch: unknown): unknown {
  if (!isMapping(patch)) return patch
  const merged = new Map(Object.entries(isMapping(current) ? current : {}))
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key)
    else merged.set(key, mergePatch(merged.get(key), value))
  }
  return Object.fromEntries(merged)
}

/** Paths at which the patch says something else than stands there. */
function listDifferences(patch: unknown, current: unknown, path: string): string[] {
  if (isMapping(patch) && isMapping(current)) {
    return Object.entries(patch).flatMap(([key, value]) =>
      listDifferences(
        value,
        Object.hasOwn(current, key) ? current[key] : undefined,
        `${path}${path === '' || path.endsWith('.') ? '' : '.'}${key.slice(0, 100)}`,
      ),
    )
  }
  if (patch === null && current === undefined) return []
  return JSON.stringify(patch) === JSON.stringify(current) ? [] : [path.replace(/\.$/, '')]
}
