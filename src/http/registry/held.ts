/** Refuses to touch what a plan or a Repository holds. Used by put-manifest.ts and deletions.ts. */
import { RegistryFault } from './fault.ts'
import type { ManifestReference, WriteSide } from './write-side.ts'

/** @throws RegistryFault 409 `DENIED` that names the holder of the first reference that is held. */
export function refuseHeld(
  { protects }: Pick<WriteSide, 'protects'>,
  repository: string,
  references: Iterable<ManifestReference>,
  verb: 'move' | 'delete',
): void {
  if (protects === undefined) return
  for (const reference of references) {
    const holder = protects(repository, reference)
    if (holder === undefined) continue
    const name = 'tag' in reference ? `${repository}:${reference.tag}` : `${repository}@${reference.digest}`
    throw new RegistryFault(
      409,
      'DENIED',
      `can not ${verb} ${name}: ${holder} holds it; withdraw or change that first`,
      {
        detail: { name: repository, ...reference, holder },
      },
    )
  }
}
