/** `npm run demo [-- --keep]`: the whole way of a plan, on this machine, in seconds. Exit status 0 when everything was as it should be. */
import { parseArgs } from 'node:util'
import { formatBytes } from '../src/cli/format.ts'
import { formatTable } from '../src/cli/table.ts'
import { Terminal } from '../src/cli/terminal.ts'
import { edge, type Site, startSite } from './site.ts'
import { type Row, Story } from './story.ts'

const usage = `npm run demo            shows a plan from its arrival to verified images, and ends
npm run demo -- --keep  leaves everything running afterwards, until Ctrl-C`

const terminal = new Terminal(process.stdout, process.stderr, process.env)
process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  const options = readArguments(args)
  if (options === undefined || options.help) {
    terminal.note(usage)
    return options === undefined ? 2 : 0
  }
  const interrupt = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => interrupt.abort())
  await using cleanup = new AsyncDisposableStack()
  let site: Site | undefined
  terminal.print('edge-image-agent: starting an upstream registry, an MQTT broker and the agent …')
  try {
    site = await startSite(cleanup, interrupt.signal)
    const rows = await new Story(site, terminal, interrupt.signal).tell()
    printSummary(rows)
    if (options.keep) await keep(site, interrupt.signal)
    return 0
  } catch (error) {
    if (interrupt.signal.aborted) {
      terminal.note('\nInterrupted; stopping and cleaning up.')
      return 130
    }
    if (site) terminal.note(`\nThe end of the agent's log:\n${await site.agent.logTail()}`)
    terminal.note(`\nThe demo failed. ${error instanceof Error ? error.message : String(error)}`)
    return 1
  }
}

function readArguments(args: readonly string[]): { keep: boolean; help: boolean } | undefined {
  const flags = { keep: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } } as const
  try {
    return parseArgs({ args: [...args], options: flags }).values
  } catch (error) {
    terminal.note(error instanceof Error ? error.message : String(error))
    return undefined
  }
}

function printSummary(rows: readonly Row[]): void {
  const sum = (pick: (row: Row) => number) => rows.reduce((total, row) => total + pick(row), 0)
  const total: Row = {
    what: 'together',
    asked: sum(row => row.asked),
    present: sum(row => row.present),
    fetched: sum(row => row.fetched),
    requests: sum(row => row.requests),
    seconds: sum(row => row.seconds),
  }
  const lines = formatTable(
    [...rows, total],
    [
      { title: 'Summary', value: row => row.what },
      { title: 'asked for', align: 'right', value: row => formatBytes(row.asked) },
      { title: 'already there', align: 'right', value: row => formatBytes(row.present) },
      { title: 'fetched', align: 'right', value: row => formatBytes(row.fetched) },
      { title: 'requests', align: 'right', value: row => String(row.requests) },
      { title: 'seconds', align: 'right', value: row => row.seconds.toFixed(1) },
    ],
  )
  terminal.print(`\n${lines.join('\n')}`)
}

/** Tells what can be tried now, and waits for Ctrl-C. */
async function keep(site: Site, signal: AbortSignal): Promise<void> {
  const { broker, upstream, mecm, agent } = site
  const { port } = broker
  const { registry, api } = agent
  const commands = [
    ['what the edge holds', `npm start -s -- images --config ${agent.configFile}`],
    ['its plans', `npm start -s -- plan list --config ${agent.configFile}`],
    ['a tag, read as a node reads it', `curl -s http://${registry}/v2/shop/web/tags/list`],
    ['metrics', `curl -s ${api}/metrics`],
    ['its state over HTTP', `curl -s -H "Authorization: Bearer $(cat ${agent.tokenFile})" ${api}/v1/status`],
    ['pull with skopeo', `skopeo copy --src-tls-verify=false docker://${registry}/shop/web:2.1.0 dir:/tmp/web`],
    ['hear what the edge says', `mosquitto_sub -p ${port} -v -t 'mecm/v1/edges/${edge}/#'`],
    [
      'send a plan',
      `mosquitto_pub -p ${port} -q 1 -r -t ${mecm.topicOf('mine')} -m '${JSON.stringify({
        apiVersion: 'image.mecm/v1',
        kind: 'DistributionPlan',
        metadata: { name: 'mine', revision: 1, issuedAt: new Date().toISOString() },
        spec: {
          images: [{ source: `${upstream.host}/shop/scanner:3.1.0`, target: 'mine/scanner:1', platforms: ['all'] }],
        },
      })}'`,
    ],
    ['withdraw it', `mosquitto_pub -p ${port} -q 1 -r -n -t ${mecm.topicOf('mine')}`],
  ]
  terminal.print('\nEverything keeps running until Ctrl-C. To try next:')
  for (const [what, command] of commands) terminal.print(`\n  # ${what}\n  ${command}`)
  terminal.print(`\n  configuration ${agent.configFile}\n  log           ${agent.logFile}`)
  const { promise, resolve } = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => resolve(), { once: true })
  if (!signal.aborted) await promise
  terminal.print('\nStopping.')
}
