/** The agent's figures for Prometheus. Read from their owners when they are scraped, so that nothing is counted twice. */
import { Counter, Gauge, Registry } from 'prom-client'
import { countPhases } from './edge-routes.ts'
import type { AgentFacts, PlansFace } from './facts.ts'
import { addImageMetrics } from './image-metrics.ts'
import { addLinkMetrics } from './link-metrics.ts'
import { addProcessMetrics } from './process-metrics.ts'
import { addUpkeepMetrics } from './upkeep-metrics.ts'

const prefix = 'edge_image_agent_'

/** A registry of its own, so that two agents in one process (tests) don't share figures. */
export function createMetrics(facts: AgentFacts, plans: Pick<PlansFace, 'list'>): Registry {
  const registry = new Registry()
  addProcessMetrics(registry)
  addBuildInfo(registry, facts)
  addTransferMetrics(registry, facts)
  addLinkMetrics(registry, facts.link)
  addRegistryMetrics(registry, facts)
  addEdgeMetrics(registry, facts, plans)
  addUpkeepMetrics(registry, () => facts.upkeep?.())
  addImageMetrics(registry, facts)
  return registry
}

function addBuildInfo(registry: Registry, facts: AgentFacts): void {
  const gauge = new Gauge({
    name: `${prefix}build_info`,
    help: 'Always 1; the labels say what runs.',
    labelNames: ['version', 'node'],
    registers: [registry],
  })
  gauge.set({ version: facts.version, node: process.versions.node }, 1)
}

function addTransferMetrics(registry: Registry, facts: AgentFacts): void {
  const registers = [registry]
  const labelNames = ['host']
  new Counter({
    name: `${prefix}upstream_received_bytes_total`,
    help: 'Bytes of content received from an upstream registry.',
    labelNames,
    registers,
    collect() {
      this.reset()
      for (const { host, receivedBytes } of facts.upstreams()) this.inc({ host }, receivedBytes)
    },
  })
  new Counter({
    name: `${prefix}upstream_requests_total`,
    help: 'Requests sent to an upstream registry.',
    labelNames,
    registers,
    collect() {
      this.reset()
      for (const { host, requests } of facts.upstreams()) this.inc({ host }, requests)
    },
  })
  new Counter({
    name: `${prefix}blobs_fetched_total`,
    help: 'Blobs fetched from upstream registries and verified.',
    registers,
    collect() {
      this.reset()
      this.inc(facts.blobsFetched())
    },
  })
}

function addRegistryMetrics(registry: Registry, facts: AgentFacts): void {
  const registers = [registry]
  if (facts.traffic() === undefined) return
  new Counter({
    name: `${prefix}registry_served_bytes_total`,
    help: 'Bytes that the embedded registry sent to its readers.',
    registers,
    collect() {
      this.reset()
      this.inc(facts.traffic()?.servedBytes ?? 0)
    },
  })
  new Counter({
    name: `${prefix}registry_pulls_total`,
    help: 'Manifests that readers took from the embedded registry.',
    registers,
    collect() {
      this.reset()
      this.inc(facts.traffic()?.pulls ?? 0)
    },
  })
  new Counter({
    name: `${prefix}registry_pushes_total`,
    help: 'Manifests that clients pushed into the embedded registry, and requests of pushes that failed.',
    labelNames: ['outcome'],
    registers,
    collect() {
      this.reset()
      this.inc({ outcome: 'success' }, facts.traffic()?.pushes ?? 0)
      this.inc({ outcome: 'failure' }, facts.traffic()?.failedPushes ?? 0)
    },
  })
  new Counter({
    name: `${prefix}registry_pushed_bytes_total`,
    help: 'Bytes of blobs and manifests that clients pushed into the embedded registry.',
    registers,
    collect() {
      this.reset()
      this.inc(facts.traffic()?.pushedBytes ?? 0)
    },
  })
}

function addEdgeMetrics(registry: Registry, facts: AgentFacts, plans: Pick<PlansFace, 'list'>): void {
  const registers = [registry]
  new Gauge({
    name: `${prefix}plans`,
    help: 'Plans by phase.',
    labelNames: ['phase'],
    registers,
    collect() {
      this.reset()
      for (const [phase, count] of Object.entries(countPhases(plans))) this.set({ phase }, count)
    },
  })
  new Gauge({
    name: `${prefix}storage_bytes`,
    help: 'Bytes of content on disk.',
    registers,
    async collect() {
      this.set((await facts.storage()).usedBytes)
    },
  })
  new Gauge({
    name: `${prefix}storage_free_bytes`,
    help: 'Bytes that the disk of the local registry can still take; NaN where that can not be known.',
    registers,
    async collect() {
      this.set((await facts.storage()).freeBytes ?? Number.NaN)
    },
  })
  if (facts.broker() !== undefined) addBrokerMetric(registry, facts)
  new Gauge({
    name: `${prefix}outbox_messages`,
    help: 'Messages that the broker has not acknowledged.',
    registers,
    collect() {
      this.set(facts.outboxMessages())
    },
  })
}

/** Only where a broker is configured: else every edge that runs without one would look cut off. */
function addBrokerMetric(registry: Registry, facts: AgentFacts): void {
  new Gauge({
    name: `${prefix}mqtt_connected`,
    help: 'Whether the broker is connected: 1 or 0.',
    registers: [registry],
    collect() {
      this.set(facts.broker()?.connected === true ? 1 : 0)
    },
  })
}
