/**
 * Who may do what: the three roles, the rights of each, and whether a caller has one. The only table of rights; the API, the
 * registry's port and the audit use its words.
 */

export const roles = ['image-viewer', 'image-operator', 'image-admin'] as const
export type Role = (typeof roles)[number]

/** Every right with what it allows, and the least role that has it: each role has the rights of the ones before it. */
export const rights = {
  'sources:read': { from: 'image-viewer', allows: 'list and show sources, browse their repositories and tags' },
  'sources:create': { from: 'image-admin', allows: 'create sources' },
  'sources:change': { from: 'image-admin', allows: "edit a source's display name and description" },
  'sources:delete': { from: 'image-admin', allows: 'delete sources' },
  'sources:verify': { from: 'image-admin', allows: 'test the connection and the credentials of a source' },

  'repositories:read': { from: 'image-viewer', allows: 'list and show Repositories, their runs and versions' },
  'repositories:create': { from: 'image-operator', allows: 'create Repositories' },
  'repositories:change': { from: 'image-operator', allows: 'edit Repositories, roll back to a version' },
  'repositories:sync': { from: 'image-operator', allows: 'start a sync' },
  'repositories:delete': { from: 'image-admin', allows: 'delete Repositories' },

  'policies:read': { from: 'image-viewer', allows: 'list and show cleanup policies, and what they would remove' },
  'policies:create': { from: 'image-operator', allows: 'create cleanup policies' },
  'policies:change': { from: 'image-operator', allows: 'edit cleanup policies' },
  'policies:sync': { from: 'image-operator', allows: 'start a cleanup' },
  'policies:delete': { from: 'image-admin', allows: 'delete cleanup policies' },

  'plans:read': { from: 'image-viewer', allows: 'list and show plans, follow their events' },
  'plans:create': { from: 'image-operator', allows: 'submit plans and their new revisions' },
  'plans:retry': { from: 'image-operator', allows: 'try a failed plan again' },
  'plans:delete': { from: 'image-admin', allows: 'withdraw plans' },

  'images:read': { from: 'image-viewer', allows: 'list what the local registry holds' },
  'images:delete': { from: 'image-admin', allows: 'remove images, collect what nothing refers to, scrub' },

  'registry:pull': { from: 'image-viewer', allows: 'pull from the embedded registry where that needs a token' },
  'registry:push': { from: 'image-operator', allows: 'push to the embedded registry' },
  'registry:delete': { from: 'image-admin', allows: 'delete from the embedded registry' },

  'edge:read': { from: 'image-viewer', allows: "read the edge's state and the description of the API" },
  'edge:change': { from: 'image-operator', allows: "change the link's rate while the agent runs" },

  'tokens:read': { from: 'image-admin', allows: 'list tokens' },
  'tokens:create': { from: 'image-admin', allows: 'create tokens' },
  'tokens:delete': { from: 'image-admin', allows: 'revoke tokens' },

  'audit:read': { from: 'image-admin', allows: 'list, verify and export the audit' },
  'vault:rotate': { from: 'image-admin', allows: 'encrypt the stored secrets under a new key' },
} as const satisfies Record<string, { readonly from: Role; readonly allows: string }>

export type Right = keyof typeof rights

/** A role, for one namespace or for all of them and the edge itself. */
export interface Grant {
  readonly role: Role
  /** `*`: cluster-wide. */
  readonly namespace: string
}

/** Whoever calls, once known. */
export interface Caller {
  /** As the audit names it. */
  readonly name: string
  readonly grants: readonly Grant[]
}

/** The kinds that live in namespaces; every other right is about the edge as a whole, and takes a cluster-wide role. */
const namespaced: ReadonlySet<string> = new Set(['sources', 'repositories', 'policies'])

/** Whether the caller has the right, in that namespace; without one, over all of them. */
export function allows(caller: Caller, right: Right, namespace?: string): boolean {
  const inNamespace = namespace !== undefined && isNamespaced(right)
  return caller.grants.some(
    grant => has(grant.role, right) && (grant.namespace === '*' || (inNamespace && grant.namespace === namespace)),
  )
}

/** The namespaces that the caller has the right in: what a list over all namespaces shows. */
export function namespacesOf(caller: Caller, right: Right): readonly string[] | 'all' {
  if (allows(caller, right)) return 'all'
  if (!isNamespaced(right)) return []
  return [...new Set(caller.grants.filter(grant => has(grant.role, right)).map(grant => grant.namespace))].sort()
}

/** The rights of a role. */
export function rightsOf(role: Role): Right[] {
  return allRights.filter(right => has(role, right))
}

export function isRole(text: string): text is Role {
  return roles.some(role => role === text)
}

const allRights = Object.keys(rights).filter(isRight)

function isRight(text: string): text is Right {
  return Object.hasOwn(rights, text)
}

function isNamespaced(right: Right): boolean {
  return namespaced.has(right.slice(0, right.indexOf(':')))
}

function has(role: Role, right: Right): boolean {
  return roles.indexOf(role) >= roles.indexOf(rights[right].from)
}
