/** The kinds that `get`, `describe`, `delete` and `apply` know, by all the names that people use for them. */
import type { DocumentKind } from '../management/documents.ts'
import { apiGroup } from '../management/kinds.ts'
import { nearest } from '../oci/nearest.ts'
import { CliError } from './cli-error.ts'

export interface Kind {
  readonly kind: DocumentKind
  /** What messages and paths call it: the plural is that of the API. */
  readonly singular: string
  readonly plural: string
  /** Also taken on the command line. */
  readonly shortNames: readonly string[]
  readonly group: string
  /** A plan belongs to the edge as a whole. */
  readonly namespaced: boolean
}

export const kinds: readonly Kind[] = [
  {
    kind: 'RegistrySecret',
    singular: 'registry-secret',
    plural: 'registry-secrets',
    shortNames: ['rs', 'source', 'sources'],
    group: apiGroup,
    namespaced: true,
  },
  {
    kind: 'Repository',
    singular: 'repository',
    plural: 'repositories',
    shortNames: ['repo', 'repos'],
    group: apiGroup,
    namespaced: true,
  },
  {
    kind: 'ImageCleanupPolicy',
    singular: 'image-cleanup-policy',
    plural: 'image-cleanup-policies',
    shortNames: ['icp', 'policy', 'policies'],
    group: apiGroup,
    namespaced: true,
  },
  {
    kind: 'DistributionPlan',
    singular: 'distribution-plan',
    plural: 'distribution-plans',
    shortNames: ['plan', 'plans'],
    group: 'image.mecm',
    namespaced: false,
  },
]

/** For the help of every command that takes a kind. */
export const kindHelp = kinds.map(({ plural, shortNames }) => `${plural} (${shortNames[0]})`).join(', ')

/** The kind of a document. */
export function kindOf(name: DocumentKind): Kind {
  const [first = kinds[0]] = kinds.filter(({ kind }) => kind === name)
  if (first === undefined) throw new Error(`no kind is called ${name}`)
  return first
}

/** A kind by any of its names. @throws CliError (2) that names the nearest. */
export function findKind(word: string): Kind {
  const text = word.toLowerCase().replace(/\..*$/, '')
  const found = kinds.find(kind => namesOf(kind).includes(text))
  if (found) return found
  const near = nearest(text, kinds.flatMap(namesOf))
  const hint = near === undefined ? `expected one of: ${kindHelp}` : `did you mean "${near}"? Kinds: ${kindHelp}`
  throw new CliError(`there is no kind "${word}"`, { exitStatus: 2, hint })
}

/** `repository.image.theriseunion.io`: as messages name it. */
export function fullName({ singular, group }: Kind): string {
  return `${singular}.${group}`
}

/** With and without hyphens: `registry-secret`, `registrysecrets`. */
function namesOf({ kind, singular, plural, shortNames }: Kind): string[] {
  const names = [singular, plural, kind.toLowerCase(), ...shortNames]
  return [...names, ...names.map(name => name.replaceAll('-', ''))]
}
