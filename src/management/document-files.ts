/** Files of documents: which ones a folder has, and what is in them. Used by `apply -f` and by the folder of the configuration. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type DocumentKind, type FileDocument, maxFileBytes, readDocuments } from './documents.ts'

const maxFiles = 10_000

/** A document, and the file that it stands in. */
export interface DocumentInFile extends FileDocument {
  readonly file: string
}

export interface FilesReading {
  readonly documents: readonly DocumentInFile[]
  /** `FILE: line 12: …`. */
  readonly problems: readonly string[]
}

/** What others refer to comes first, wherever it stands. */
const order: readonly DocumentKind[] = ['RegistrySecret', 'Repository', 'ImageCleanupPolicy', 'DistributionPlan']

/** Documents in the order in which they can be applied; the other way round they can be deleted. */
export function inOrder<T extends { readonly kind: DocumentKind }>(documents: readonly T[]): T[] {
  return [...documents].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))
}

/** The YAML and JSON files of a folder, by name; not of folders in it, and no hidden ones. @throws as `readdir` does. */
export async function listDocumentFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder)
  const files = names.filter(name => /\.(?:ya?ml|json)$/i.test(name) && !name.startsWith('.')).sort()
  return files.slice(0, maxFiles).map(name => join(folder, name))
}

/** Reads files. One that can't be read is a problem, and the others are read all the same. */
export async function readDocumentFiles(files: readonly string[]): Promise<FilesReading> {
  const documents: DocumentInFile[] = []
  const problems: string[] = []
  for (const file of files) {
    try {
      const reading = readDocuments(await readBounded(file))
      documents.push(...reading.documents.map(document => ({ ...document, file })))
      problems.push(...reading.problems.map(problem => `${file}: ${problem}`))
    } catch (error) {
      problems.push(`${file}: can not be read: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  return { documents, problems }
}

async function readBounded(file: string): Promise<string> {
  const { size } = await stat(file)
  if (size > maxFileBytes) throw new Error(`it is larger than ${maxFileBytes} bytes`)
  return readFile(file, 'utf8')
}
