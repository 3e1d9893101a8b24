/** The four kinds behind one face, for the folder of documents: declared and taken away, whoever keeps them. */
import type { By } from '../../access/tokens.ts'
import type { Plans } from '../../plans/plans.ts'
import {
  type DocumentKind,
  type GivenMetadata,
  type Place,
  readImageCleanupPolicy,
  readRegistrySecret,
  readRepository,
} from '../documents.ts'
import { isMapping } from '../fields.ts'
import type { Policies } from '../lifecycle/policies.ts'
import { ManagementError, notFound } from '../management-error.ts'
import type { Applied } from '../objects.ts'
import type { Repositories } from '../repositories.ts'
import type { Sources } from '../sources.ts'

type Verbs = 'get' | 'apply' | 'delete'

export interface KeptKinds {
  readonly sources: Pick<Sources, Verbs | 'providers'>
  readonly repositories: Pick<Repositories, Verbs>
  readonly policies: Pick<Policies, Verbs>
  readonly plans: Pick<Plans, 'receive' | 'withdraw' | 'find'>
}

/** Name and namespace; the namespace of a plan is empty. */
export interface ObjectKey {
  readonly kind: DocumentKind
  readonly namespace: string
  readonly name: string
}

/** Keeps the objects of one kind. All methods throw ManagementError. */
export interface Keeper {
  keyOf(document: Readonly<Record<string, unknown>>): ObjectKey
  apply(document: Readonly<Record<string, unknown>>): Applied<unknown>['outcome']
  delete(key: ObjectKey): void
  /** Which object it is, however often its name is used; empty for a plan. Undefined where there is none. */
  uidOf(key: ObjectKey): string | undefined
}

/** As the audit names whoever put documents into the folder. */
const by: By = { who: 'documents-folder' }

export function keepersOf({
  sources,
  repositories,
  policies,
  plans,
}: KeptKinds): Readonly<Record<DocumentKind, Keeper>> {
  return {
    RegistrySecret: keeper('RegistrySecret', sources, document =>
      readRegistrySecret(document, { ...place, providers: sources.providers }),
    ),
    Repository: keeper('Repository', repositories, document => readRepository(document, place)),
    ImageCleanupPolicy: keeper('ImageCleanupPolicy', policies, document => readImageCleanupPolicy(document, place)),
    DistributionPlan: planKeeper(plans),
  }
}

const place: Place = { defaultNamespace: 'default' }

interface Kept<Input> {
  get(namespace: string, name: string): { readonly metadata: { readonly uid: string } }
  apply(input: Input, by: By): Applied<unknown>
  delete(namespace: string, name: string, by: By): void
}

function keeper<Input extends { readonly metadata: GivenMetadata }>(
  kind: DocumentKind,
  kept: Kept<Input>,
  read: (document: unknown) => Input,
): Keeper {
  return {
    keyOf(document) {
      const { namespace, name } = read(document).metadata
      return { kind, namespace, name }
    },
    apply: document => kept.apply(read(document), by).outcome,
    delete: ({ namespace, name }) => kept.delete(namespace, name, by),
    uidOf: ({ namespace, name }) => orUndefined(() => kept.get(namespace, name).metadata.uid),
  }
}

function planKeeper(plans: KeptKinds['plans']): Keeper {
  const kind = 'DistributionPlan'
  const stands = (name: string) => (plans.find(name)?.phase ?? 'Withdrawn') !== 'Withdrawn'
  return {
    keyOf({ metadata }) {
      const name = isMapping(metadata) && typeof metadata.name === 'string' ? metadata.name : ''
      return { kind, namespace: '', name }
    },
    apply(document) {
      const known = stands(this.keyOf(document).name)
      const payload = Buffer.from(JSON.stringify(document))
      const { outcome, name, problems = [] } = plans.receive({ via: 'http', payload })
      if (outcome === 'accepted') return known ? 'configured' : 'created'
      if (outcome === 'unchanged' || outcome === 'withdrawn') return 'unchanged'
      throw new ManagementError('Invalid', problems.join('; '), { kind, name }, problems)
    },
    delete({ name }) {
      if (plans.withdraw(name).outcome === 'unknown') throw notFound({ kind, name })
    },
    uidOf: ({ name }) => (stands(name) ? '' : undefined),
  }
}

/** What a look brings; undefined where there is no such object. */
function orUndefined<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    if (error instanceof ManagementError && error.reason === 'NotFound') return undefined
    throw error
  }
}
