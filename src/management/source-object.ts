/** A source as it is read back, and its names. Used by sources.ts. */
import type { SourceRow } from '../state/sources.ts'
import { apiVersion, type ManagedObject, writtenAnnotations } from './kinds.ts'
import type { ObjectName } from './management-error.ts'
import { readTexts, toMetadata } from './objects.ts'

/** As it is read back: without its password. */
export type RegistrySecret = ManagedObject<
  'RegistrySecret',
  { readonly domain: string; readonly username?: string; readonly provider: string },
  {
    readonly verifyStatus: 'untested' | 'success' | 'failed'
    /** Of the last check, where the source answered. */
    readonly latencyMs?: number
  }
>

export function sourceName(namespace: string, name: string): ObjectName & { readonly namespace: string } {
  return { kind: 'RegistrySecret', namespace, name }
}

/** Whose secret it is, for the vault. */
export function secretOf(namespace: string, name: string): string {
  return `RegistrySecret/${namespace}/${name}`
}

export function toRegistrySecret(row: SourceRow): RegistrySecret {
  const { domain, provider, username, verifyStatus, latencyMs } = row
  return {
    apiVersion,
    kind: 'RegistrySecret',
    metadata: toMetadata(row, { ...readTexts(row.annotations), ...written(row) }),
    spec: { domain, ...(username === null ? {} : { username }), provider },
    status: { verifyStatus, ...(latencyMs === null ? {} : { latencyMs }) },
  }
}

function written({ domain, provider, username, verifyStatus, verifyMessage, verifiedAt }: SourceRow) {
  return {
    [writtenAnnotations.domain]: domain,
    [writtenAnnotations.username]: username ?? '',
    [writtenAnnotations.provider]: provider,
    [writtenAnnotations.verifyStatus]: verifyStatus,
    [writtenAnnotations.verifyMessage]: verifyMessage,
    [writtenAnnotations.verifyTimestamp]: verifiedAt === null ? '' : String(verifiedAt),
  }
}
