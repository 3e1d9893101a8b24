/** docker-registry as upstream and as a target that nodes can pull from, as Debian packages it; with its own counters. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { request } from 'undici'
import { stringify } from 'yaml'
import { freePort, type Running, startProgram } from '../test/fixtures/programs.ts'
import type { Wanted } from './contender.ts'

export interface BenchRegistry extends Running {
  readonly port: number
  /** `127.0.0.1:port`. */
  readonly host: string
  /** Requests answered, and the bytes of the answers' bodies, since its start. */
  counts(): Promise<{ readonly requests: number; readonly bytes: number }>
}

/** Starts one that keeps its content in `dir`, with Debian's own defaults for everything that matters to speed. */
export async function startRegistry(dir: string): Promise<BenchRegistry> {
  const [port, debugPort] = [await freePort(), await freePort()]
  const content = join(dir, 'content')
  await mkdir(content, { recursive: true })
  const config = {
    version: 0.1,
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: content }, cache: { blobdescriptor: 'inmemory' } },
    http: {
      addr: `127.0.0.1:${port}`,
      secret: 'bench',
      debug: { addr: `127.0.0.1:${debugPort}`, prometheus: { enabled: true, path: '/metrics' } },
    },
  }
  const file = join(dir, 'registry.yml')
  await writeFile(file, stringify(config))
  const running = await startProgram('docker-registry', ['serve', file], port)
  return { ...running, port, host: `127.0.0.1:${port}`, counts: () => readCounts(debugPort) }
}

async function readCounts(port: number): Promise<{ requests: number; bytes: number }> {
  const { body } = await request(`http://127.0.0.1:${port}/metrics`)
  const text = await body.text()
  return {
    requests: sumOf(text, 'registry_http_requests_total'),
    bytes: sumOf(text, 'registry_http_response_size_bytes_sum'),
  }
}

/** The sum over all labels of a metric. */
function sumOf(metrics: string, name: string): number {
  const lines = metrics.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))
  return [...lines].reduce((sum, [, value]) => sum + Number(value), 0)
}

/**
 * Asks a registry for all that the images consist of, as a node would find it.
 * @throws Error for the first manifest or blob that is not there in its size.
 */
export async function expectImages(host: string, images: readonly Wanted[]): Promise<void> {
  for (const { image, pinned } of images) {
    const { repository, tag, digest, content, manifests } = image
    const wanted = Object.entries(content).map(([name, size]) => {
      const kind = manifests.some(manifest => manifest === name) ? 'manifests' : 'blobs'
      return { path: `${kind}/${name}`, size }
    })
    const size = content[digest] ?? 0
    for (const { path, size: expected } of [...wanted, { path: `manifests/${pinned ? digest : tag}`, size }]) {
      const { statusCode, headers, body } = await request(`http://${host}/v2/${repository}/${path}`, {
        method: 'HEAD',
        headers: { accept: 'application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json' },
      })
      await body.dump()
      if (statusCode !== 200 || Number(headers['content-length']) !== expected) {
        throw new Error(`${host}/${repository}/${path}: status ${statusCode}, ${headers['content-length']} bytes`)
      }
    }
  }
}
