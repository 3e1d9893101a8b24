/**
 * The figures of image management at the size of a large site: `node bench/management.ts [--idle] [FILE]`, Linux. 10,000 Repositories and
 * 1,000 sources are written into a state folder, the real agent is started on it, asked over HTTP, and left alone; with `--idle` it is left
 * alone at once. Prints a table in Markdown, or writes it to FILE. What collection and dry runs take is measured by
 * test/store/collect-many.test.ts, which says how in its first lines.
 */
import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { Agent, request } from 'undici'
import { digestOf } from '../src/oci/digest.ts'
import { openState } from '../src/state/database.ts'
import { RepositoryRows } from '../src/state/repositories.ts'
import { SourceRows } from '../src/state/sources.ts'
import { AgentProcess } from '../test/fixtures/agent-process.ts'
import { buildAgent } from './build.ts'
import { cpuOf } from './measure.ts'

const repositories = 10_000
const sources = 1_000
const namespaces = 50
const callsEach = 300
const starts = 5
/** After the start, or the last call: what they left is tidied up. */
const settleMs = 15_000
const idleMs = 60_000
const dayMs = 24 * 60 * 60_000
const base = '/oapis/image.theriseunion.io/v1alpha1/namespaces'

const { values, positionals } = parseArgs({ options: { idle: { type: 'boolean' } }, allowPositionals: true })
const dir = await mkdtemp(join(tmpdir(), 'bench-management-'))
try {
  const text = await measure(values.idle === true)
  const [file] = positionals
  if (file === undefined) process.stdout.write(text)
  else await writeFile(file, text)
} finally {
  await rm(dir, { recursive: true, force: true })
}

async function measure(idleOnly: boolean): Promise<string> {
  const [load = 0] = loadavg()
  const program = buildAgent()
  const agent = await AgentProcess.prepare({ dir, edge: 'edge-01', platform: 'linux/amd64', upstreams: [], program })
  fill(join(dir, 'state'))
  const lines: [string, string][] = []
  try {
    lines.push(...(await measureStarts(agent, idleOnly ? 1 : starts)))
    if (!idleOnly) lines.push(...(await measureCalls(agent)))
    lines.push(...(await measureIdle(agent)))
  } finally {
    await agent.stop()
  }
  const [cpu] = cpus()
  const machine = `${cpus().length} cores (${cpu?.model.trim() ?? 'unknown'}), Linux, Node ${process.versions.node}, other load ${load.toFixed(1)}`
  const rows = lines.map(([what, value]) => `| ${what} | ${value} |`)
  const title = `${repositories} Repositories and ${sources} sources in ${namespaces} namespaces; ${machine}; ${new Date().toISOString().slice(0, 10)}.`
  return [title, '', '| | 95th percentile over HTTP |', '|---|---|', ...rows, ''].join('\n')
}

async function measureStarts(agent: AgentProcess, rounds: number): Promise<[string, string][]> {
  const times: number[] = []
  const used: number[] = []
  for (let round = 0; round < rounds; round++) {
    await agent.stop()
    const began = performance.now()
    await agent.start()
    times.push(performance.now() - began)
    used.push(await cpuOf(agent.pid))
  }
  return [
    [`start until ready, median of ${rounds}`, ms(quantile(times, 0.5))],
    ['processor time of a start, median', ms(quantile(used, 0.5))],
  ]
}

async function measureCalls(agent: AgentProcess): Promise<[string, string][]> {
  const token = (await readFile(agent.tokenFile, 'utf8')).trim()
  const lines: [string, string][] = []
  for (const [what, path] of calls()) {
    const taken = await timeCalls(agent.api, token, path)
    lines.push([what, `${ms(quantile(taken, 0.95))} (median ${ms(quantile(taken, 0.5))})`])
  }
  return lines
}

async function measureIdle(agent: AgentProcess): Promise<[string, string][]> {
  await delay(settleMs)
  const before = await cpuOf(agent.pid)
  await delay(idleMs)
  const share = (100 * ((await cpuOf(agent.pid)) - before)) / idleMs
  return [
    [`processor, idle, over ${idleMs / 1000} s`, `${share.toFixed(2)} % of a core`],
    ['memory, idle', `${Math.round((await agent.memory()).now / 1024 / 1024)} MiB`],
  ]
}

/** Each call with its paths: another one each time, so that nothing is answered from memory. */
function* calls(): Generator<[string, (at: number) => string]> {
  for (const [kind, total, query] of [
    ['repositories', repositories, 'name'],
    ['registry-secrets', sources, 'search'],
  ] as const) {
    yield [`${kind}: first page of 10`, () => `_all_/${kind}?page=1&limit=10`]
    yield [`${kind}: some page of 10`, at => `_all_/${kind}?page=${1 + ((at * 37) % (total / 10))}&limit=10`]
    yield [`${kind}: page of 100`, at => `_all_/${kind}?page=${1 + (at % (total / 100))}&limit=100`]
    yield [`${kind}: search, few found`, at => `_all_/${kind}?page=1&limit=10&${query}=pp-${100 + (at % 900)}`]
    yield [`${kind}: search, none found`, at => `_all_/${kind}?page=1&limit=10&${query}=nothing-${at}`]
    yield [`${kind}: one namespace`, at => `ns-${at % namespaces}/${kind}?page=1&limit=10`]
  }
}

async function timeCalls(api: string, token: string, path: (at: number) => string): Promise<number[]> {
  const dispatcher = new Agent({ connections: 1 })
  const times: number[] = []
  for (let at = 0; at < callsEach; at++) {
    const began = performance.now()
    const { statusCode, body } = await request(`${api}${base}/${path(at)}`, {
      dispatcher,
      headers: { authorization: `Bearer ${token}` },
    })
    const text = await body.text()
    if (statusCode !== 200) throw new Error(`${path(at)}: ${statusCode} ${text}`)
    times.push(performance.now() - began)
  }
  await dispatcher.close()
  return times
}

/** As though all of it had been synced an hour ago; nothing is due for a day. */
function fill(stateDir: string): void {
  const state = openState(stateDir, { logger: pino({ level: 'silent' }) })
  const sourceRows = new SourceRows(state.db)
  const repositoryRows = new RepositoryRows(state.db)
  const now = Date.now()
  const object = (name: string, at: number) => ({
    ...{ name, namespace: `ns-${at % namespaces}`, uid: randomUUID(), createdAt: now, labels: '{}' },
    annotations: JSON.stringify({ 'theriseunion.io/display-name': `Number ${at}` }),
    search: `${name}\nnumber ${at}\nmecm/${name}`,
  })
  const layers = Array.from({ length: 8 }, (_, at) => ({
    digest: digestOf(Buffer.from(`layer ${at}`)),
    size: 1_000_000,
  }))
  const manifest = { architecture: 'amd64', os: 'linux', size: '142MB', created: '2026-01-01T00:00:00Z', layers }
  state.db.transaction(() => {
    for (let at = 0; at < sources; at++) {
      sourceRows.add({
        ...object(`app-${at}`, at),
        ...{ provider: 'other', domain: `registry-${at}.example`, username: null },
        ...{
          verifyStatus: 'success',
          verifyMessage: 'it lets us in',
          verifiedAt: now,
          latencyMs: 3,
          verifyDueAt: now + dayMs,
        },
      })
    }
    for (let at = 0; at < repositories; at++) {
      const source = { name: `app-${at % sources}`, namespace: `ns-${(at % sources) % namespaces}` }
      const fixed = { syncInterval: '24h', syncTimeout: '10m', retryCount: 3 }
      const row = object(`app-${at}`, at)
      repositoryRows.add(
        {
          ...row,
          ...{ path: `mecm/app-${at}`, domain: `registry-${at % sources}.example`, outcome: 'Success', error: null },
          spec: JSON.stringify({ repository: `mecm/app-${at}`, tag: '1', registryRef: source, ...fixed }),
          ...{ lastSynced: now - 3_600_000, manifest: JSON.stringify(manifest) },
          ...{ dueAt: now + dayMs, trigger: 'schedule', requestedBy: 'schedule', requestedFrom: null },
        },
        [source],
      )
      repositoryRows.setTag(row.uid, { tag: '1', digest: digestOf(Buffer.from(`${at}`)), rolledBack: false }, now)
      const run = {
        outcome: 'Success',
        lastSynced: now - 3_600_000,
        manifest: JSON.stringify(manifest),
        error: null,
        run: '{}',
      } as const
      repositoryRows.endRun(row.uid, run, 20)
    }
  })()
  state.close()
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

function ms(value: number): string {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`
}
