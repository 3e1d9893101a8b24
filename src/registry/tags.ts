/** Listing tags. OCI distribution-spec, "Listing tags". */
import { Type } from 'typebox'
import { isTag } from '../oci/reference.ts'
import { Shape } from '../oci/shape.ts'
import { readPages } from './paging.ts'
import type { Ask, Transport } from './transport.ts'

const pageSize = 1000
const tagPage = new Shape(Type.Object({ tags: Type.Optional(Type.Union([Type.Array(Type.String()), Type.Null()])) }))

/** The repository's tags in the registry's order, a page at a time as they are wanted. What isn't a tag by the specification is left out. */
export async function* listTags(
  transport: Transport,
  repository: string,
  signal: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  const ask: Ask = {
    method: 'GET',
    url: `/v2/${repository}/tags/list?n=${pageSize}`,
    headers: { accept: 'application/json' },
    scopes: [`repository:${repository}:pull`],
    subject: 'tags',
    doing: `list the tags of ${repository}`,
    expect: [200],
    signal,
  }
  for await (const page of readPages(transport, ask)) {
    for (const tag of readTags(transport, page, ask.doing)) if (isTag(tag)) yield tag
  }
}

function readTags(transport: Transport, page: Uint8Array, doing: string): readonly string[] {
  try {
    const document: unknown = JSON.parse(Buffer.from(page).toString())
    if (tagPage.check(document)) return document.tags ?? []
  } catch {
    // The same as a list of another form.
  }
  throw transport.error('UNSUPPORTED', 'the answer is not a list of tags', doing, 'Check that this is a registry.')
}
