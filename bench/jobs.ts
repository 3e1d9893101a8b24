/** What is measured: jobs, who takes part in each, and the ratio to reach. Sizes are the corpus's. */
import { agentDaemon, agentPull } from './agent-contender.ts'
import type { Contender, Wanted } from './contender.ts'
import type { BenchImage, Corpus } from './corpus.ts'
import type { LinkOptions } from './link-emulator.ts'
import { crane, oras, skopeoCopy, skopeoSync } from './tool-contender.ts'

export interface Job {
  readonly id: string
  readonly title: string
  readonly contenders: readonly Contender[]
  /** What has to be in place already, which is not measured. */
  readonly before?: readonly Wanted[]
  readonly wanted: readonly Wanted[]
  /** The link to upstream; none is the machine's own loopback, direct. */
  readonly link?: Omit<LinkOptions, 'port'>
  /** Looks at the rate over every stretch of `overMs` for `forMs`, then ends the job wherever it is. With a link only. */
  readonly watch?: { readonly overMs: number; readonly forMs: number }
  /** SIGKILL when so many bytes have come; then the same again. With a link only. */
  readonly killAt?: number
  /** To whom the agent's wall times are compared; the fastest of them counts. */
  readonly rivals: readonly string[]
  /** By place of content, the ratio of wall times to reach. */
  readonly goals: Readonly<Partial<Record<Contender['into'], number>>>
}

export interface Builds {
  /** `dist/main.js` of the agent; further ones to compare it to. */
  readonly agents: readonly { readonly name: string; readonly program: string }[]
  readonly scale: number
}

const MiB = 1024 * 1024
const copies = [skopeoCopy, crane, oras]
const syncs = [skopeoSync, crane, oras]

/** All jobs, in the order of the report. */
export function makeJobs(corpus: Corpus, { agents, scale }: Builds): readonly Job[] {
  const embedded = agents.map(agent => agentDaemon(agent, 'embedded'))
  const external = agents.map(agent => agentDaemon(agent, 'docker-registry'))
  const pulls = agents.slice(0, 1).map(agentPull)
  const single = corpus.single.content
  const half = Object.values(single).reduce((sum, size) => sum + size, 0) / 2
  const size = (bytes: number) => Math.ceil(bytes / scale)
  const copyRivals = copies.map(each => each.name)
  const syncRivals = [skopeoSync.name]
  const capped = agents.map(agent => agentDaemon({ ...agent, more: { transfer: { maxRate: '20Mbit' } } }, 'embedded'))
  const slow = { contenders: [...embedded, skopeoCopy, crane, oras], rivals: copyRivals, goals: {} }
  return [
    {
      id: 'cold',
      title: '1 GiB in 8 layers, nothing there yet',
      contenders: [...embedded, ...pulls, ...external, ...copies],
      wanted: byTag(corpus.large),
      rivals: copyRivals,
      goals: { embedded: 0.8, 'docker-registry': 1.1 },
    },
    {
      id: 'update',
      title: 'its second version, one layer of 40 MiB changed',
      contenders: [...embedded, ...external, ...copies],
      before: byTag(corpus.large),
      wanted: byTag(corpus.largeChanged),
      rivals: copyRivals,
      goals: {},
    },
    {
      id: 'fleet',
      title: 'a fleet of 40 images, 4.9 GiB referenced, 1.2 GiB different',
      contenders: [...embedded, ...external, ...syncs],
      wanted: byTag(...corpus.fleet),
      rivals: syncRivals,
      goals: { embedded: 0.4, 'docker-registry': 0.75 },
    },
    {
      id: 'fleet-again',
      title: 'the fleet again by tag, nothing to do',
      contenders: [...embedded, ...external, skopeoSync],
      before: byTag(...corpus.fleet),
      wanted: byTag(...corpus.fleet),
      rivals: syncRivals,
      goals: { embedded: 0.6 },
    },
    {
      id: 'fleet-pinned',
      title: 'the fleet again by digest, nothing to do',
      contenders: [...embedded, ...external, skopeoSync],
      before: byDigest(...corpus.fleet),
      wanted: byDigest(...corpus.fleet),
      rivals: syncRivals,
      goals: {},
    },
    {
      id: 'platforms',
      title: 'an index of four platforms, all of them',
      contenders: [...embedded, ...external, ...copies],
      wanted: byTag(corpus.index),
      rivals: copyRivals,
      goals: {},
    },
    {
      id: 'cuts',
      title: 'one layer of 300 MiB at 400 Mbit/s, reset after every 64 MiB',
      ...slow,
      wanted: byTag(corpus.single),
      link: { rate: 400e6, roundTripMs: 10, cutAfter: size(64 * MiB) },
    },
    {
      id: 'many-cuts',
      title: 'one layer of 30 MiB at 100 Mbit/s, reset after every 0.75 MiB',
      ...slow,
      wanted: byTag(corpus.small),
      link: { rate: 100e6, roundTripMs: 10, cutAfter: size(0.75 * MiB) },
    },
    {
      id: 'kill',
      title: 'one layer of 300 MiB at 400 Mbit/s, kill -9 at half, and again',
      ...slow,
      wanted: byTag(corpus.single),
      link: { rate: 400e6, roundTripMs: 10 },
      killAt: half,
    },
    {
      id: 'outage',
      title: 'one layer of 300 MiB at 400 Mbit/s, an outage of 8 s at half',
      ...slow,
      wanted: byTag(corpus.single),
      link: { rate: 400e6, roundTripMs: 10, outages: [{ atByte: half, forMs: 8000 }] },
    },
    {
      id: 'cap',
      title: 'four transfers at once, the agent capped at 20 Mbit/s, watched for 40 s',
      contenders: capped,
      wanted: byTag(corpus.large),
      link: { rate: 400e6, roundTripMs: 10 },
      watch: { overMs: 10_000, forMs: 40_000 },
      rivals: [],
      goals: {},
    },
  ]
}

function byTag(...images: readonly BenchImage[]): Wanted[] {
  return images.map(image => ({ image, pinned: false }))
}

function byDigest(...images: readonly BenchImage[]): Wanted[] {
  return images.map(image => ({ image, pinned: true }))
}
