/** Image management's figures, under the names that existing alert rules use. Contract, "Metrics". Added by metrics.ts. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { AgentFacts } from './facts.ts'

/** Counts are since the start. */
export interface ImageFigures {
  syncFailures(): number
  /** By the source's name. */
  connectionFailures(): ReadonlyMap<string, number>
  /** Tags of all repositories together. */
  versions(): number
  /** Bytes of the disk that images are kept on. */
  disk(): Promise<{ readonly diskBytes: number; readonly freeBytes: number }>
}

export function addImageMetrics(registry: Registry, facts: AgentFacts): void {
  const { figures } = facts
  const registers = [registry]
  new Counter({
    name: 'image_sync_failures',
    help: 'Runs of Repositories that failed.',
    registers,
    collect() {
      this.reset()
      this.inc(figures.syncFailures())
    },
  })
  new Counter({
    name: 'image_registry_connection_failures',
    help: 'Connections to an image source that failed, in checks and in syncs.',
    labelNames: ['registry_name'],
    registers,
    collect() {
      this.reset()
      for (const [name, count] of figures.connectionFailures()) this.inc({ registry_name: name }, count)
    },
  })
  new Gauge({
    name: 'image_versions',
    help: 'Versions of images that are held: tags of all repositories.',
    registers,
    collect() {
      this.set(figures.versions())
    },
  })
  new Gauge({
    name: 'image_storage_bytes',
    help: 'Bytes of content on disk.',
    registers,
    async collect() {
      this.set((await facts.storage()).usedBytes)
    },
  })
  new Gauge({
    name: 'image_storage_usage_percent',
    help: 'Share of the disk that is in use, whatever uses it: 0 to 100.',
    registers,
    async collect() {
      const { diskBytes, freeBytes } = await figures.disk()
      this.set(diskBytes > 0 ? 100 * (1 - freeBytes / diskBytes) : 0)
    },
  })
  if (facts.traffic() !== undefined) addPullMetrics(registry, facts)
}

/** Beside an external registry there are none: what nodes pull from it is not seen here. */
function addPullMetrics(registry: Registry, facts: AgentFacts): void {
  const registers = [registry]
  new Counter({
    name: 'image_pull_total',
    help: 'Manifests that readers asked the embedded registry for.',
    registers,
    collect() {
      this.reset()
      const traffic = facts.traffic()
      if (traffic) this.inc(traffic.pulls + traffic.failedPulls)
    },
  })
  new Counter({
    name: 'image_pull_success_total',
    help: 'Those of them that were sent.',
    registers,
    collect() {
      this.reset()
      this.inc(facts.traffic()?.pulls ?? 0)
    },
  })
}
