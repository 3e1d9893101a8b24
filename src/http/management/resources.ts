/** The three kinds as paths, words and rights. The only place that knows how a kind is called where. */
import type { Right } from '../../access/roles.ts'

export interface Resource {
  /** As documents write it. */
  readonly kind: 'RegistrySecret' | 'Repository' | 'ImageCleanupPolicy'
  /** In paths. */
  readonly plural: string
  /** In `details.kind` of an error. */
  readonly singular: string
  readonly rights: Readonly<Record<'read' | 'create' | 'change' | 'delete', Right>>
}

export const registrySecrets = {
  kind: 'RegistrySecret',
  plural: 'registry-secrets',
  singular: 'registry-secret',
  rights: { read: 'sources:read', create: 'sources:create', change: 'sources:change', delete: 'sources:delete' },
} as const satisfies Resource

export const repositories = {
  kind: 'Repository',
  plural: 'repositories',
  singular: 'repository',
  rights: {
    read: 'repositories:read',
    create: 'repositories:create',
    change: 'repositories:change',
    delete: 'repositories:delete',
  },
} as const satisfies Resource

export const cleanupPolicies = {
  kind: 'ImageCleanupPolicy',
  plural: 'image-cleanup-policies',
  singular: 'image-cleanup-policy',
  rights: { read: 'policies:read', create: 'policies:create', change: 'policies:change', delete: 'policies:delete' },
} as const satisfies Resource

const resources: readonly Resource[] = [registrySecrets, repositories, cleanupPolicies]

/** What paths may name. */
export const plurals: readonly string[] = resources.map(({ plural }) => plural)

/** `registry-secret` of `registry-secrets`. */
export function singularOfPlural(plural: string): string | undefined {
  return resources.find(one => one.plural === plural)?.singular
}

/** What errors call a kind: `registry-secret`. */
export function singularOf(kind: string): string {
  return resources.find(one => one.kind === kind)?.singular ?? kind
}
