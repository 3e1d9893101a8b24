/** What the demo does, step by step. Every number that it prints is measured, and compared with what the images themselves say. */
import { formatBytes } from '../src/cli/format.ts'
import { createProgressView } from '../src/cli/progress.ts'
import type { Terminal } from '../src/cli/terminal.ts'
import { shortDigest } from '../src/oci/digest.ts'
import type { PlanStatus } from '../src/plans/status.ts'
import type { PlanToSend } from '../test/fixtures/mecm.ts'
import { readImage } from '../test/fixtures/read-back.ts'
import { type Application, blobsFor, makeApplications, sitePlatform } from './applications.ts'
import { DemoFailure } from './demo-failure.ts'
import { edge, pace, type Site } from './site.ts'
import type { Crossing } from './upstream.ts'

/** What a plan cost upstream. */
interface Crossed {
  /** Of every request. */
  readonly paths: readonly string[]
  readonly blobRequests: number
  /** Bytes of blobs. */
  readonly blobBytes: number
  /** Bytes of blobs and manifests. */
  readonly contentBytes: number
}

/** One row of the summary. */
export interface Row {
  readonly what: string
  /** Bytes. */
  readonly asked: number
  readonly present: number
  readonly fetched: number
  readonly requests: number
  readonly seconds: number
}

export class Story {
  readonly #site: Site
  readonly #terminal: Terminal
  readonly #signal: AbortSignal
  readonly #applications = makeApplications()
  readonly #rows: Row[] = []

  constructor(site: Site, terminal: Terminal, signal: AbortSignal) {
    this.#site = site
    this.#terminal = terminal
    this.#signal = signal
  }

  /** Tells the whole story. @throws DemoFailure where something is not as it should be. */
  async tell(): Promise<readonly Row[]> {
    this.#introduce()
    await this.#firstPlan()
    await this.#secondRevision()
    await this.#withdrawOne()
    await this.#readBack()
    return this.#rows
  }

  #introduce(): void {
    const { upstream, broker, agent } = this.#site
    const { web, till, scanner } = this.#applications
    for (const application of [web, till, scanner]) upstream.push(application)
    this.#title('What is running')
    this.#facts([
      ['upstream registry', `http://${upstream.host}`, 'holds shop/web, shop/till and shop/scanner'],
      ['MQTT broker', broker.url, ''],
      ['local registry', `http://${agent.registry}`, `of edge ${edge}; its nodes (${sitePlatform}) pull here`],
    ])
    this.#terminal.print(`  The upstream sends at most ${pace / 1_000_000} MB/s, so that there is something to see.`)
  }

  async #firstPlan(): Promise<void> {
    const { web, till, scanner } = this.#applications
    this.#title('Plan "shop", revision 1: three images')
    const images = [web, till, scanner].map(application => ({ source: this.#sourceOf(application) }))
    const crossed = await this.#run('shop', 1, images)
    const needed = blobsFor([web, till, scanner])
    this.#expect('bytes of blobs from upstream', crossed.blobBytes, sizeOf(needed))
    this.#expect('requests for blobs', crossed.blobRequests, needed.size)
    const shared = blobsFor([web]).size + blobsFor([till]).size - blobsFor([web, till]).size
    this.#expect('layers that web and till share', shared, 1)
    this.#good('every manifest and blob is confirmed by the local registry')
    this.#good(
      `web and till share a base layer: it crossed the link once (${crossed.blobRequests} blobs, as many requests)`,
    )
    this.#good(`scanner is built for three platforms: only ${sitePlatform} was fetched`)
  }

  async #secondRevision(): Promise<void> {
    const { web, till, scanner, nextWeb } = this.#applications
    this.#site.upstream.push(nextWeb)
    this.#title('Revision 2: web 2.1.0 has one more layer than 2.0.0')
    const pinned = [till, scanner].map(application => ({
      source: this.#sourceOf(application),
      digest: application.sample.root.descriptor.digest,
    }))
    const crossed = await this.#run('shop', 2, [{ source: this.#sourceOf(nextWeb) }, ...pinned])
    const before = blobsFor([web, till, scanner])
    const fresh = [...blobsFor([nextWeb]).values()].filter(blob => !before.has(blob.digest))
    const layers = fresh.filter(blob => blob.mediaType.includes('layer'))
    this.#expect('new layers', layers.length, 1)
    this.#expect('bytes of blobs from upstream', crossed.blobBytes, sizeOf(fresh))
    this.#expect('requests for blobs', crossed.blobRequests, fresh.length)
    const forOthers = crossed.paths.filter(path => !path.startsWith(`/v2/${nextWeb.repository}/`))
    this.#expect('requests for till and scanner', forOthers.length, 0)
    this.#good(
      `only the new layer moved (${formatBytes(sizeOf(layers))}), with its config (${formatBytes(sizeOf(fresh) - sizeOf(layers))})`,
    )
    this.#good('till and scanner are pinned by digest and here already: not one request for them')
  }

  async #withdrawOne(): Promise<void> {
    const { scanner } = this.#applications
    this.#title('Plan "trial" wants what is here under another name, then is withdrawn')
    const image = {
      source: this.#sourceOf(scanner),
      digest: scanner.sample.root.descriptor.digest,
      target: 'trial/scanner:1',
    }
    const crossed = await this.#run('trial', 1, [image])
    this.#expect('requests to upstream', crossed.paths.length, 0)
    this.#good('ready without a single request to upstream')
    const withdrawn = await this.#site.mecm.withdraw('trial', { signal: this.#signal })
    this.#expect('phase', withdrawn.phase, 'Withdrawn')
    this.#good('an empty message on its topic withdrew it; plan "shop" still holds its images')
  }

  async #readBack(): Promise<void> {
    const { repository, sample } = this.#applications.nextWeb
    const { digest } = sample.root.descriptor
    this.#title('Reading web 2.1.0 back from the local registry, by digest')
    const { blobs, bytes } = await readImage(this.#site.agent.registry, repository, digest)
    this.#expect('blobs', blobs, sample.blobs.size)
    this.#good(
      `${repository}@${shortDigest(digest)}: manifest and ${blobs} blobs, ${formatBytes(bytes)}, every byte verified`,
    )
  }

  /** Publishes a plan, shows its progress, and measures what it cost. */
  async #run(name: string, revision: number, images: PlanToSend['spec']['images']): Promise<Crossed> {
    const { mecm, upstream } = this.#site
    const plan: PlanToSend = {
      apiVersion: 'image.mecm/v1',
      kind: 'DistributionPlan',
      metadata: { name, revision, issuedAt: new Date().toISOString() },
      spec: { images },
    }
    const before = upstream.crossings.length
    const started = performance.now()
    const status = await this.#watch(name, () => mecm.run(plan, { signal: this.#signal }))
    const seconds = (performance.now() - started) / 1000
    const crossed = measure(upstream.crossings.slice(before))
    this.#expectReady(status)
    this.#expect('bytes fetched, as the agent tells them', status.bytes.fetched, crossed.contentBytes)
    const asked = status.quote?.bytesTotal ?? 0
    const present = asked - (status.quote?.bytesMissing ?? 0)
    const row = { what: `${name}, revision ${revision}`, asked, present, fetched: status.bytes.fetched }
    this.#rows.push({ ...row, requests: crossed.paths.length, seconds })
    return crossed
  }

  async #watch(name: string, act: () => Promise<PlanStatus>): Promise<PlanStatus> {
    const { events } = this.#site.mecm
    const view = createProgressView(this.#terminal)
    const onStatus = (status: PlanStatus) => status.plan === name && view.status(status)
    const onProgress = (progress: Parameters<typeof view.progress>[0]) =>
      progress.plan === name && view.progress(progress)
    events.on('status', onStatus).on('progress', onProgress)
    try {
      return await act()
    } finally {
      events.off('status', onStatus).off('progress', onProgress)
      view.finish()
    }
  }

  #sourceOf({ repository, tag }: Application): string {
    return `${this.#site.upstream.host}/${repository}:${tag}`
  }

  #expectReady(status: PlanStatus): void {
    if (status.phase === 'Ready') return
    throw new DemoFailure(`plan ${status.plan}`, 'Ready', `${status.phase}: ${status.message ?? status.reason ?? ''}`)
  }

  #expect(what: string, actual: number | string, expected: number | string): void {
    if (actual !== expected) throw new DemoFailure(what, String(expected), String(actual))
  }

  #title(text: string): void {
    this.#terminal.print(`\n${this.#terminal.colors ? `\u001b[1m${text}\u001b[0m` : text}`)
  }

  #good(text: string): void {
    this.#terminal.print(`${this.#terminal.colors ? '\u001b[32m✓\u001b[0m' : '✓'} ${text}`)
  }

  #facts(rows: readonly (readonly [string, string, string])[]): void {
    const widths = [0, 1].map(at => Math.max(...rows.map(row => row[at]?.length ?? 0)))
    for (const [name, address, note] of rows) {
      this.#terminal.print(`  ${name.padEnd(widths[0] ?? 0)}  ${address.padEnd(widths[1] ?? 0)}  ${note}`.trimEnd())
    }
  }
}

function sizeOf(blobs: ReadonlyMap<unknown, { size: number }> | readonly { size: number }[]): number {
  return [...blobs.values()].reduce((sum, blob) => sum + blob.size, 0)
}

function measure(crossings: readonly Crossing[]): Crossed {
  const blobs = crossings.filter(({ path }) => path.includes('/blobs/'))
  return {
    paths: crossings.map(({ path }) => path),
    blobRequests: blobs.length,
    blobBytes: sum(blobs),
    contentBytes: sum([...blobs, ...crossings.filter(({ path }) => path.includes('/manifests/'))]),
  }
}

function sum(crossings: readonly Crossing[]): number {
  return crossings.reduce((total, { bytes }) => total + bytes, 0)
}
