/** Reads an image from a registry by digest, as a node would, and verifies every byte of it. */
import { request } from 'undici'
import { type Digest, digestMatches, digestOf, hasherFor } from '../src/oci/digest.ts'
import { childrenOf, parseManifest } from '../src/oci/manifest.ts'
import { manifestAccept } from '../src/oci/media-types.ts'
import { DemoFailure } from './demo-failure.ts'

export interface ReadBack {
  readonly blobs: number
  /** Bytes of the manifest and its blobs. */
  readonly bytes: number
}

/** @throws DemoFailure at the first thing that is not what its digest says. */
export async function readBack(registry: string, repository: string, digest: Digest): Promise<ReadBack> {
  const base = `${registry}/v2/${repository}`
  const answer = await request(`${base}/manifests/${digest}`, { headers: { accept: manifestAccept } })
  const bytes = new Uint8Array(await answer.body.arrayBuffer())
  if (answer.statusCode !== 200 || digestOf(bytes) !== digest) {
    throw new DemoFailure(`manifest ${digest} of ${repository}`, 'bytes of that digest', `status ${answer.statusCode}`)
  }
  let total = bytes.length
  const children = childrenOf(parseManifest(bytes))
  for (const child of children) {
    const { statusCode, body } = await request(`${base}/blobs/${child.digest}`)
    const hash = hasherFor(child.digest)
    for await (const chunk of body) if (chunk instanceof Uint8Array) total += hash.update(chunk) && chunk.length
    if (statusCode !== 200 || !digestMatches(child.digest, hash)) {
      throw new DemoFailure(`blob ${child.digest} of ${repository}`, 'bytes of that digest', `status ${statusCode}`)
    }
  }
  return { blobs: children.length, bytes: total }
}
