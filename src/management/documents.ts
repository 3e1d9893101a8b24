/**
 * Documents in: the values of requests, and the files of people (YAML or JSON, several per file), checked and completed. What is wrong
 * is told field by field. Used by http/ and cli/, which hand the results to Sources, Repositories, the policies and the plans.
 */

import { parseAllDocuments } from 'yaml'
import { Shape } from '../oci/shape.ts'
import { checkFields, isMapping, maxProblems } from './fields.ts'
import {
  annotationNames,
  apiVersion,
  type ImageCleanupPolicyDocument,
  ImageCleanupPolicySchema,
  type ObjectMetadata,
  type RegistrySecretDocument,
  RegistrySecretSchema,
  type RepositoryDocument,
  RepositorySchema,
  writtenAnnotations,
} from './kinds.ts'
import { invalid } from './management-error.ts'

/** Where a document is to be, as far as something beside it says so. */
export interface Place {
  /** Of the request's path: the document must not say otherwise. */
  readonly namespace?: string
  /** Where the document says nothing. Default `default`. */
  readonly defaultNamespace?: string
}

/** Name, namespace and what people wrote about it. */
export type GivenMetadata = Pick<ObjectMetadata, 'name' | 'namespace' | 'annotations' | 'labels'>

export interface RegistrySecretInput {
  readonly metadata: GivenMetadata
  readonly spec: RegistrySecretDocument['spec']
}

export interface SourceRef {
  readonly name: string
  readonly namespace: string
}

export interface RepositoryInput {
  readonly metadata: GivenMetadata
  readonly spec: Omit<RepositoryDocument['spec'], 'registryRef' | 'fallbackRefs'> & {
    readonly registryRef: SourceRef
    readonly fallbackRefs?: readonly SourceRef[]
  }
}

export interface ImageCleanupPolicyInput {
  readonly metadata: GivenMetadata
  readonly spec: ImageCleanupPolicyDocument['spec']
}

export const builtInProviders = ['harbor', 'dockerhub', 'aliyun', 'other'] as const

const shapes = {
  RegistrySecret: new Shape(RegistrySecretSchema),
  Repository: new Shape(RepositorySchema),
  ImageCleanupPolicy: new Shape(ImageCleanupPolicySchema),
}

/** @throws ManagementError `Invalid` with every wrong field. */
export function readRegistrySecret(
  value: unknown,
  options: Place & { readonly providers?: readonly string[] } = {},
): RegistrySecretInput {
  const problems: string[] = []
  const checked = check('RegistrySecret', RegistrySecretSchema, value, problems)
  const { provider } = specOf(checked)
  const { username, password } = givenSpec(value)
  if (username !== undefined && password === undefined) problems.push('spec.password: is required with a username')
  if (password !== undefined && username === undefined) problems.push('spec.username: is required with a password')
  const { providers = builtInProviders } = options
  if (typeof provider === 'string' && !providers.includes(provider)) {
    problems.push(`spec.provider: expected one of ${providers.join(', ')}, e.g. "harbor", got "${provider}"`)
  }
  const metadata = placeIn(checked, options, problems)
  if (problems.length > 0 || !shapes.RegistrySecret.check(checked)) throw refuse('RegistrySecret', metadata, problems)
  return { metadata, spec: { ...checked.spec, domain: checked.spec.domain.toLowerCase() } }
}

/** @throws ManagementError `Invalid` with every wrong field. */
export function readRepository(value: unknown, options: Place = {}): RepositoryInput {
  const problems: string[] = []
  const checked = check('Repository', RepositorySchema, value, problems)
  const { tag, tagPattern } = specOf(checked)
  const given = givenSpec(value)
  if (tag !== undefined && tagPattern !== undefined) problems.push('spec.tagPattern: not together with spec.tag')
  if (isMapping(value) && given.tag === undefined && given.tagPattern === undefined) {
    problems.push(
      'spec.tag: is required: expected a tag, e.g. "1.27" (or a range of them in spec.tagPattern, e.g. "^1.27")',
    )
  }
  const metadata = placeIn(checked, options, problems)
  if (problems.length > 0 || !shapes.Repository.check(checked)) throw refuse('Repository', metadata, problems)
  const { registryRef, fallbackRefs, ...spec } = checked.spec
  const whole = (ref: { name: string; namespace?: string }) => ({
    name: ref.name,
    namespace: ref.namespace ?? metadata.namespace,
  })
  return {
    metadata,
    spec: {
      ...spec,
      registryRef,
      ...(fallbackRefs === undefined ? {} : { fallbackRefs: fallbackRefs.map(whole) }),
    },
  }
}

/** @throws ManagementError `Invalid` with every wrong field. */
export function readImageCleanupPolicy(value: unknown, options: Place = {}): ImageCleanupPolicyInput {
  const problems: string[] = []
  const checked = check('ImageCleanupPolicy', ImageCleanupPolicySchema, value, problems)
  const { keepRecent, unusedDays } = specOf(checked)
  if (problems.length === 0 && keepRecent === undefined && unusedDays === undefined) {
    problems.push('spec: expected keepRecent or unusedDays: without both, nothing says what may go')
  }
  const metadata = placeIn(checked, options, problems)
  if (problems.length > 0 || !shapes.ImageCleanupPolicy.check(checked)) {
    throw refuse('ImageCleanupPolicy', metadata, problems)
  }
  return { metadata, spec: checked.spec }
}

/** The kinds that a file may hold. */
export const documentKinds = ['RegistrySecret', 'Repository', 'ImageCleanupPolicy', 'DistributionPlan'] as const
export type DocumentKind = (typeof documentKinds)[number]

/** One document of a file: its kind is known, its fields are not looked at yet. */
export interface FileDocument {
  readonly kind: DocumentKind
  /** From 1. */
  readonly line: number
  readonly value: Record<string, unknown>
}

export interface FileReading {
  readonly documents: readonly FileDocument[]
  /** `line 12: …`. */
  readonly problems: readonly string[]
}

export const maxFileBytes = 16 * 1024 * 1024
const maxDocuments = 10_000

/** Takes a file apart: YAML or JSON, documents with `---` between them; a `List` is its items. */
export function readDocuments(text: string): FileReading {
  if (text.length > maxFileBytes) return { documents: [], problems: [`the file is larger than ${maxFileBytes} bytes`] }
  const documents: FileDocument[] = []
  const problems: string[] = []
  const lineAt = lineCounter(text)
  const parsed = parseAllDocuments(text, { uniqueKeys: false, stringKeys: true, logLevel: 'error' })
  if (!Array.isArray(parsed)) return { documents, problems }
  if (parsed.length > maxDocuments) return { documents, problems: [`more than ${maxDocuments} documents in one file`] }
  for (const document of parsed) {
    const line = lineAt(document.contents?.range?.[0] ?? document.range[0])
    const [error] = document.errors
    if (error) problems.push(`line ${lineAt(error.pos[0])}: ${(error.message.split('\n')[0] ?? '').slice(0, 200)}`)
    else if (document.contents !== null) take(toPlain(document), line, documents, problems)
  }
  return { documents, problems }
}

function toPlain(document: { toJS(options: { maxAliasCount: number }): unknown }): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 })
  } catch {
    return undefined // aliases without end
  }
}

function take(value: unknown, line: number, documents: FileDocument[], problems: string[]): void {
  if (value === null) return
  if (isMapping(value) && value.kind === 'List' && Array.isArray(value.items)) {
    for (const item of value.items.slice(0, maxDocuments)) take(item, line, documents, problems)
    return
  }
  const kind = isMapping(value) ? documentKinds.find(one => one === value.kind) : undefined
  if (isMapping(value) && kind !== undefined) documents.push({ kind, line, value })
  else {
    const got = isMapping(value) ? `, got ${(JSON.stringify(value.kind) ?? 'nothing').slice(0, 80)}` : ''
    problems.push(
      `line ${line}: expected a document with kind ${documentKinds.join(', ')} and apiVersion "${apiVersion}"${got}`,
    )
  }
}

function lineCounter(text: string): (offset: number) => number {
  let at = 0
  let line = 1
  return offset => {
    if (offset < at) {
      at = 0
      line = 1
    }
    for (; at < offset; at++) if (text[at] === '\n') line++
    return line
  }
}

function check(kind: string, schema: Parameters<typeof checkFields>[0], value: unknown, problems: string[]): unknown {
  let left = maxProblems
  const given = isMapping(value) ? { apiVersion, kind, ...value } : value
  const checked = checkFields(schema, given, '', (path, message) => {
    if (left-- > 0) problems.push(`${path === '' ? 'the document' : path}: ${message}`)
  })
  if (left < 0) problems.push(`and ${-left} more`)
  return checked
}

function specOf(checked: unknown): Record<string, unknown> {
  return isMapping(checked) && isMapping(checked.spec) ? checked.spec : {}
}

/** The spec as it was sent, without the fields that are null. */
function givenSpec(value: unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries(specOf(value)).filter(([, field]) => field !== null))
}

/** What people wrote of `metadata`, with the namespace that it belongs to. */
function placeIn(checked: unknown, place: Place, problems: string[]): GivenMetadata {
  const metadata = isMapping(checked) && isMapping(checked.metadata) ? checked.metadata : {}
  const own = typeof metadata.namespace === 'string' ? metadata.namespace : undefined
  if (own !== undefined && place.namespace !== undefined && own !== place.namespace) {
    problems.push(`metadata.namespace: expected "${place.namespace}" as in the path, got "${own}"`)
  }
  return {
    name: typeof metadata.name === 'string' ? metadata.name : '',
    namespace: place.namespace ?? own ?? place.defaultNamespace ?? 'default',
    annotations: ownAnnotations(textsOf(metadata.annotations)),
    labels: textsOf(metadata.labels),
  }
}

const notKept = new Set<string>([
  ...Object.values(writtenAnnotations),
  // Holds the whole document, password and all.
  'kubectl.kubernetes.io/last-applied-configuration',
])

/** The annotations that are a person's to write; the server's own, in a document that was read back, are left out. */
export function ownAnnotations(annotations: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(annotations).filter(([key]) => !notKept.has(key)))
}

/** Every wrong one of annotations that are to be changed; null removes one. */
export function listAnnotationProblems(changes: Readonly<Record<string, string | null>>): string[] {
  return Object.entries(changes).flatMap(([key, value]) => {
    const path = `metadata.annotations["${key.slice(0, 100)}"]`
    if (notKept.has(key))
      return [
        `${path}: is written by the server; ${annotationNames.displayName} and ${annotationNames.description} can be changed`,
      ]
    if (key === '' || key.length > 316) return [`${path}: expected a name of 1 to 316 characters`]
    return value !== null && value.length > 4096 ? [`${path}: expected at most 4096 characters`] : []
  })
}

function textsOf(value: unknown): Readonly<Record<string, string>> {
  if (!isMapping(value)) return {}
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

function refuse(kind: string, { namespace, name }: GivenMetadata, problems: readonly string[]) {
  return invalid(
    { kind, namespace, name },
    problems.length > 0 ? problems : ['the document does not have the right form'],
  )
}
