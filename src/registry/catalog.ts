/** The repositories of a registry that lists them: `/v2/_catalog`. Distribution's HTTP API V2, "Catalog"; not part of the OCI specification. */
import { Type } from 'typebox'
import { isRepository } from '../oci/reference.ts'
import { Shape } from '../oci/shape.ts'
import { readPages } from './paging.ts'
import type { Ask, Transport } from './transport.ts'

const pageSize = 1000
const catalogPage = new Shape(
  Type.Object({ repositories: Type.Optional(Type.Union([Type.Array(Type.String()), Type.Null()])) }),
)

/** Every repository in the registry's order, a page at a time as they are wanted. @throws ImageError `DENIED`, `UNAUTHORIZED` or `UNSUPPORTED` where it keeps its list to itself. */
export async function* listRepositories(
  transport: Transport,
  signal: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  const ask: Ask = {
    method: 'GET',
    url: `/v2/_catalog?n=${pageSize}`,
    headers: { accept: 'application/json' },
    scopes: ['registry:catalog:*'],
    subject: 'registry',
    doing: 'list the repositories',
    expect: [200],
    signal,
  }
  for await (const page of readPages(transport, ask)) {
    for (const name of readNames(transport, page, ask.doing)) if (isRepository(name)) yield name
  }
}

function readNames(transport: Transport, page: Uint8Array, doing: string): readonly string[] {
  try {
    const document: unknown = JSON.parse(Buffer.from(page).toString())
    if (catalogPage.check(document)) return document.repositories ?? []
  } catch {
    // The same as a list of another form.
  }
  throw transport.error(
    'UNSUPPORTED',
    'the answer is not a list of repositories',
    doing,
    'Check that this is a registry.',
  )
}
