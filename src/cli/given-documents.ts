/** The documents of `-f FILE|DIR|-`, for `apply` and `delete`, and what each of them is about. */
import { statSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { type DocumentInFile, listDocumentFiles, readDocumentFiles } from '../management/document-files.ts'
import { readDocuments } from '../management/documents.ts'
import { isMapping } from '../management/fields.ts'
import { CliError } from './cli-error.ts'
import { fullName, type Kind, kindOf } from './kinds.ts'

/** A document with its kind, name and namespace. */
export interface Given {
  readonly kind: Kind
  readonly namespace: string
  readonly name: string
  readonly document: Readonly<Record<string, unknown>>
  /** `FILE, line 12`. */
  readonly where: string
}

/** What became of one object: a line for people, an entry for programs. */
export interface Done {
  readonly kind: string
  readonly namespace?: string
  readonly name: string
  readonly outcome: string
}

/** @param namespace of `-n`; undefined where it wasn't given. */
export async function readGiven(
  sources: readonly string[],
  namespace: string | undefined,
): Promise<{ given: Given[]; problems: string[] }> {
  const { documents, problems: unread } = await readAll(sources)
  const problems = [...unread]
  const given: Given[] = []
  for (const document of documents) {
    const one = place(document, namespace)
    if (typeof one === 'string') problems.push(one)
    else given.push(one)
  }
  if (given.length === 0 && problems.length === 0) throw new CliError('there is no document in what -f names')
  return { given, problems }
}

export function doneWith({ kind, namespace, name }: Omit<Given, 'document' | 'where'>, outcome: string): Done {
  return { kind: kind.kind, ...(kind.namespaced ? { namespace } : {}), name, outcome }
}

/** `repository.image.theriseunion.io/nginx`. */
export function describeGiven({ kind, name }: Pick<Given, 'kind' | 'name'>): string {
  return `${fullName(kind)}/${name}`
}

async function readAll(sources: readonly string[]) {
  const files: string[] = []
  const documents: DocumentInFile[] = []
  const problems: string[] = []
  for (const source of sources) {
    if (source === '-') {
      const reading = readDocuments(await text(process.stdin))
      documents.push(...reading.documents.map(one => ({ ...one, file: 'standard input' })))
      problems.push(...reading.problems.map(problem => `standard input: ${problem}`))
    } else files.push(...(await filesOf(source)))
  }
  const reading = await readDocumentFiles(files)
  return { documents: [...documents, ...reading.documents], problems: [...problems, ...reading.problems] }
}

async function filesOf(source: string): Promise<readonly string[]> {
  if (!statSync(source, { throwIfNoEntry: false })?.isDirectory()) return [source]
  return listDocumentFiles(source)
}

function place({ kind: name, value, file, line }: DocumentInFile, namespace: string | undefined): Given | string {
  const kind = kindOf(name)
  const where = `${file}, line ${line}`
  const metadata = isMapping(value.metadata) ? value.metadata : {}
  if (typeof metadata.name !== 'string' || metadata.name === '') return `${where}: metadata.name: missing`
  const own = metadata.namespace ?? undefined
  if (kind.namespaced && own !== undefined && namespace !== undefined && own !== namespace) {
    return `${where}: metadata.namespace is "${String(own).slice(0, 100)}", and -n says "${namespace}"`
  }
  return {
    kind,
    where,
    name: metadata.name,
    namespace: typeof own === 'string' ? own : (namespace ?? 'default'),
    document: withoutStatus(value),
  }
}

/** What was read back with `get -o yaml` has a status, which is not a person's to write. */
function withoutStatus({ status: _, ...document }: Readonly<Record<string, unknown>>) {
  return document
}
