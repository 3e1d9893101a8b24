/**
 * The layout's index.json: every tag and every root without one, for other OCI tools and for the day the database is lost.
 * The database is the truth; this file follows it at its own pace. OCI image-spec, image-layout.md. Used by store.ts.
 */
import { open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { type Static, Type } from 'typebox'
import { DescriptorShape, toDescriptor } from '../oci/descriptor.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { formatTarget, isRepository, parseTarget } from '../oci/reference.ts'
import { Shape } from '../oci/shape.ts'
import type { IndexEntry } from '../state/index-entries.ts'
import { writeFileDurably } from './layout.ts'
import { fileSize } from './stored-blob.ts'

const refName = 'org.opencontainers.image.ref.name'
const repositoryName = 'io.edge-image-agent.repository'
const sourceName = 'io.edge-image-agent.source'

/** Far beyond 100,000 tags; a larger file isn't ours. */
const maxIndexBytes = 128 * 1024 * 1024

const IndexShape = Type.Object({ manifests: Type.Array(DescriptorShape) })
const shape = new Shape(IndexShape)

/** Writes `oci-layout` where it is missing: what tells other tools that the folder is a layout. */
export async function writeLayoutMark(root: string): Promise<void> {
  const path = join(root, 'oci-layout')
  if (await fileSize(path)) return
  await writeFileDurably(root, path, async file => {
    await file.writeFile('{"imageLayoutVersion":"1.0.0"}')
  })
}

/** Replaces index.json, whole or not at all. A page is read when the one before is written: others go on meanwhile. */
export async function writeIndex(root: string, pages: Iterable<readonly IndexEntry[]>): Promise<void> {
  await writeFileDurably(root, join(root, 'index.json'), async file => {
    await file.appendFile(`{"schemaVersion":2,"mediaType":"${mediaTypes.ociIndex}","manifests":[`)
    let separator = ''
    for (const page of pages) {
      const lines = page.map(entry => JSON.stringify(toDocument(entry)))
      await file.appendFile(`${separator}\n${lines.join(',\n')}`)
      separator = ','
    }
    await file.appendFile('\n]}\n')
  })
}

/** An index.json as it was found. `problems` names the entries that say nothing to us. */
export interface FoundIndex {
  readonly entries: readonly IndexEntry[]
  readonly problems: readonly string[]
}

/**
 * Reads index.json, or answers undefined when there is none. One that can't be read is put aside as `index.json.unreadable`, so that
 * the next write doesn't destroy what a person may still need.
 */
export async function readIndex(root: string): Promise<FoundIndex | undefined> {
  const path = join(root, 'index.json')
  const size = await fileSize(path)
  if (size === undefined) return undefined
  const document = size > maxIndexBytes ? undefined : await parseIndex(path)
  if (document === undefined) {
    await rename(path, `${path}.unreadable`)
    return { entries: [], problems: ['it is not an index of manifests; kept as index.json.unreadable'] }
  }
  const entries: IndexEntry[] = []
  const problems: string[] = []
  for (const value of document.manifests) {
    try {
      entries.push(fromDocument(value))
    } catch (error) {
      problems.push(`${value.digest.slice(0, 19)}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  return { entries, problems }
}

async function parseIndex(path: string): Promise<Static<typeof IndexShape> | undefined> {
  const file = await open(path, 'r')
  try {
    const document: unknown = JSON.parse(await file.readFile('utf8'))
    return shape.check(document) ? document : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  } finally {
    await file.close()
  }
}

function toDocument(entry: IndexEntry): object {
  const { mediaType, digest, size, artifactType } = entry.descriptor
  const annotations =
    entry.tag === undefined
      ? { [repositoryName]: entry.repository }
      : {
          [refName]: formatTarget({ repository: entry.repository, tag: entry.tag }),
          ...(entry.source === undefined ? {} : { [sourceName]: entry.source }),
        }
  return { mediaType, digest, size, ...(artifactType === undefined ? {} : { artifactType }), annotations }
}

/** @throws ImageError for a digest or a name that isn't one; Error for an entry that names no place. */
function fromDocument(value: Static<typeof DescriptorShape>): IndexEntry {
  const { annotations, ...descriptor } = toDescriptor(value)
  const name = annotations?.[refName]
  if (name !== undefined) {
    const { repository, tag } = parseTarget(name)
    if (tag !== undefined) return { repository, tag, source: annotations?.[sourceName], descriptor }
  }
  const repository = annotations?.[repositoryName]
  if (repository === undefined || !isRepository(repository)) throw new Error('it names no repository of this registry')
  return { repository, tag: undefined, source: undefined, descriptor }
}
