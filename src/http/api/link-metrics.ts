/** The link's figures for Prometheus. Added by metrics.ts. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { AccountState } from '../../transfer/link/budget.ts'
import type { AgentFacts } from './facts.ts'

const prefix = 'edge_image_agent_link_'

export function addLinkMetrics(registry: Registry, link: AgentFacts['link']): void {
  const registers = [registry]
  new Counter({
    name: `${prefix}received_bytes_total`,
    help: 'Bytes from upstreams: content, other answers, heads of requests and answers; failed tries, too.',
    registers,
    collect() {
      this.reset()
      this.inc(link.state.receivedBytes)
    },
  })
  new Gauge({
    name: `${prefix}rate_bytes`,
    help: 'Bytes a second from upstreams, over the last ten seconds.',
    registers,
    collect() {
      this.set(link.state.rate)
    },
  })
  new Gauge({
    name: `${prefix}max_rate_bytes`,
    help: 'Bytes a second that all upstreams share; +Inf without a limit.',
    registers,
    collect() {
      this.set(link.state.maxRate ?? Number.POSITIVE_INFINITY)
    },
  })
  new Gauge({
    name: `${prefix}window_open`,
    help: "Whether content may come by the site's own windows: 1 or 0.",
    registers,
    collect() {
      this.set(link.state.window.open ? 1 : 0)
    },
  })
  if (link.state.budget !== undefined) addBudgetMetrics(registry, link)
}

function addBudgetMetrics(registry: Registry, link: AgentFacts['link']): void {
  const figures: readonly (readonly [string, string, (account: AccountState) => number])[] = [
    ['limit', 'Bytes that may come in a period.', account => account.limit],
    ['used', 'Bytes that came in this period, with the debt of the one before.', account => account.used],
    ['left', 'Bytes that may still come in this period.', account => account.left],
    ['debt', 'Bytes beyond the limit, which the next period pays for.', account => account.debt],
  ]
  for (const [name, help, figure] of figures) {
    new Gauge({
      name: `${prefix}budget_${name}_bytes`,
      help: `${help} The group "" is the whole site.`,
      labelNames: ['group'],
      registers: [registry],
      collect() {
        this.reset()
        for (const account of link.state.budget?.accounts ?? [])
          this.set({ group: account.group ?? '' }, figure(account))
      },
    })
  }
}
