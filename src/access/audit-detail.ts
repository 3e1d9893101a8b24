/** What a record of the audit may say beside who, what and the outcome: a closed list of fields, so that no secret comes in by the way. */

/** Each field and the type that it must have; anything else is left out. */
const fields = {
  /** A code or a sentence of our own: never a text from a registry, and never a value that a caller sent. */
  reason: 'string',
  right: 'string',
  tokenId: 'string',
  grants: 'string',
  expiresAt: 'string',
  keyId: 'string',
  provider: 'string',
  domain: 'string',
  repository: 'string',
  tag: 'string',
  digest: 'string',
  revision: 'number',
  run: 'number',
  bytes: 'number',
  count: 'number',
  durationMs: 'number',
  /** Like calls that were denied meanwhile and have no record of their own. */
  suppressed: 'number',
  dryRun: 'boolean',
} as const

type Field = keyof typeof fields
interface Types {
  readonly string: string
  readonly number: number
  readonly boolean: boolean
}

export type AuditDetail = { readonly [F in Field]?: Types[(typeof fields)[F]] | undefined }

const maxText = 500

/** The allowed fields of a detail, in a fixed order, texts clipped. A URL's user and password are cut wherever one stands. */
export function allowedDetail(detail: AuditDetail): AuditDetail {
  const given: Readonly<Record<string, unknown>> = { ...detail }
  const kept = Object.entries(fields)
    .filter(([field, type]) => typeof given[field] === type)
    .map(([field]) => [field, cleanValue(given[field])])
  return Object.fromEntries(kept)
}

function cleanValue(value: unknown): unknown {
  if (typeof value === 'number') return Number.isFinite(value) ? value : 0
  if (typeof value !== 'string') return value
  const text = value
    .slice(0, maxText)
    .toWellFormed()
    .replace(/\p{Cc}/gu, '?')
  return text.replace(/(\w:\/\/)[^/\s@]*@/g, '$1')
}
