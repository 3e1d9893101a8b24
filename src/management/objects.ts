/** What all objects of image management have in common: lists and their pages, and who did what. Used by every class of the room. */

/** Which objects, in which order: by namespace, then name. */
export interface ListQuery {
  /** Those that the caller may see. */
  readonly namespaces: readonly string[] | 'all'
  /** From 1. */
  readonly page?: number
  /** Objects per page, at most {@link maxPageSize}. Default: everything, up to that. */
  readonly limit?: number
  /** Part of the name, the display name, or the domain or path; upper and lower case are the same. */
  readonly search?: string
  /** Labels that an object must have. */
  readonly labels?: Readonly<Record<string, string>>
}

export const maxPageSize = 10_000

export interface Page<T> {
  readonly items: readonly T[]
  /** On all pages together. */
  readonly totalItems: number
}

/** What an `apply` did. */
export interface Applied<T> {
  readonly object: T
  readonly outcome: 'created' | 'configured' | 'unchanged'
}

/** Where it is written down who did what. access/audit.ts in the agent. */
export interface AuditLog {
  record(entry: {
    readonly who: string
    readonly action: string
    readonly object: { readonly kind: string; readonly namespace?: string; readonly name: string }
    readonly outcome: 'success' | 'failure' | 'denied'
    readonly detail?: string
  }): void
}
