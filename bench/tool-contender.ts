/** The tools that people use now, copying into a docker-registry: skopeo, and crane, oras and regctl where they are on the PATH. */
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { stringify } from 'yaml'
import { findProgram } from '../test/fixtures/programs.ts'
import type { Contender, Session, Site, Wanted } from './contender.ts'
import { cpuOf, runMeasured, type Usage } from './measure.ts'
import { type BenchRegistry, startRegistry } from './registries.ts'

/** What is run, one after the other. */
type Commands = (images: readonly Wanted[], site: Site, target: string) => Promise<readonly (readonly string[])[]>

const plain = ['--src-tls-verify=false', '--dest-tls-verify=false']

/** One `skopeo copy` per image. */
export const skopeoCopy = tool('skopeo copy', 'skopeo', async (images, site, target) =>
  images.map(wanted => [
    ...['--insecure-policy', 'copy', '--quiet', '--all', ...plain],
    `docker://${sourceOf(wanted, site)}`,
    `docker://${targetOf(wanted, target)}`,
  ]),
)

/** One `skopeo sync` for all images, by tag or by digest. */
export const skopeoSync = tool('skopeo sync', 'skopeo', async (images, site, target) => {
  const wanted = images.map(({ image, pinned }) => [image.repository, [pinned ? image.digest : image.tag]])
  const file = join(site.dir, 'sync.yml')
  await writeFile(file, stringify({ [site.upstream]: { 'tls-verify': false, images: Object.fromEntries(wanted) } }))
  // It keeps the last part of a repository's path; the fleet's repositories all have the same beginning.
  const beginning = dirname(images[0]?.image.repository ?? '')
  const way = ['--src', 'yaml', '--dest', 'docker', file, `${target}/${beginning}`]
  return [['--insecure-policy', 'sync', '--all', ...plain, ...way]]
})

export const crane = tool('crane copy', 'crane', async (images, site, target) =>
  images.map(wanted => ['copy', '--insecure', sourceOf(wanted, site), targetOf(wanted, target)]),
)

export const oras = tool('oras cp', 'oras', async (images, site, target) =>
  images.map(wanted => [
    ...['cp', '--from-plain-http', '--to-plain-http', '--no-tty'],
    sourceOf(wanted, site),
    targetOf(wanted, target),
  ]),
)

function tool(name: string, program: string, commands: Commands): Contender {
  return {
    name,
    into: 'docker-registry',
    lacks: () => (findProgram(program) === undefined ? `${program} is not on the PATH` : undefined),
    open: async site => new ToolSession(program, commands, site, await startRegistry(join(site.dir, 'target'))),
  }
}

class ToolSession implements Session {
  readonly registry: string | undefined
  readonly #program: string
  readonly #commands: Commands
  readonly #site: Site
  readonly #target: BenchRegistry
  #stop = new AbortController()

  constructor(program: string, commands: Commands, site: Site, target: BenchRegistry) {
    this.#program = program
    this.#commands = commands
    this.#site = site
    this.#target = target
    this.registry = target.host
  }

  async bring(images: readonly Wanted[], signal: AbortSignal): Promise<Usage> {
    this.#stop = new AbortController()
    const options = { signal: AbortSignal.any([signal, this.#stop.signal]), scratch: join(this.#site.dir, 'time') }
    const before = await cpuOf(this.#target.pid)
    let own: Usage = { cpuMs: 0, rssBytes: 0 }
    for (const args of await this.#commands(images, this.#site, this.#target.host)) {
      const { cpuMs, rssBytes } = await runMeasured(this.#program, args, options)
      own = { cpuMs: own.cpuMs + cpuMs, rssBytes: Math.max(own.rssBytes, rssBytes) }
    }
    return { ...own, cpuMs: own.cpuMs + (await cpuOf(this.#target.pid)) - before }
  }

  async kill(): Promise<void> {
    this.#stop.abort(new Error('killed'))
  }

  async close(): Promise<void> {
    await this.#target.stop()
  }
}

function sourceOf({ image, pinned }: Wanted, site: Site): string {
  return `${site.upstream}/${image.repository}${pinned ? `@${image.digest}` : `:${image.tag}`}`
}

function targetOf({ image }: Wanted, target: string): string {
  return `${target}/${image.repository}:${image.tag}`
}
