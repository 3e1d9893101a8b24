/** Figures of the process itself for Prometheus: processor, memory, event loop. Used by metrics.ts. */
import { performance } from 'node:perf_hooks'
import { Counter, collectDefaultMetrics, type Registry } from 'prom-client'

/** As seldom as a timer can be. */
const never = 2 ** 31 - 1

export function addProcessMetrics(registry: Registry): void {
  // The distribution of the loop's delay comes of a timer that wakes the process a hundred times a second: that alone took 1 % of a core
  // from an idle agent. How busy the loop is costs nothing to know.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: never })
  for (const { name } of registry.getMetricsAsArray()) {
    if (name.startsWith('nodejs_eventloop_lag_') && name !== 'nodejs_eventloop_lag_seconds') {
      registry.removeSingleMetric(name)
    }
  }
  new Counter({
    name: 'edge_image_agent_event_loop_busy_seconds_total',
    help: 'Time in which the event loop had work to do and did not wait: its rate is the share of the time.',
    registers: [registry],
    collect() {
      this.reset()
      this.inc(performance.eventLoopUtilization().active / 1000)
    },
  })
}
