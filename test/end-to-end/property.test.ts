/**
 * The ledger's promises, at every step at which a kill may fall: no plan lost, no terminal status told twice under two numbers, no byte
 * before the recorded offset fetched again, no tag visible before its content.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { algorithmOf, type Digest, digestOf, parseDigest } from '../../src/oci/digest.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { blobPath, ingestPath } from '../../src/store/layout.ts'
import { FakeRegistry } from '../fixtures/fake-registry.ts'
import { seededBytes } from '../fixtures/layers.ts'

const child = fileURLToPath(new URL('../fixtures/plan-child.ts', import.meta.url))
/** Steps are taken from a schedule for so long; EVERY_STEP=1 takes all of them, which is minutes of work. */
const budgetMs = process.env.EVERY_STEP ? Number.POSITIVE_INFINITY : 40_000

interface Said {
  readonly phase?: string
  readonly seq?: number
  readonly outcome?: string
  readonly outbox?: readonly { readonly phase: string; readonly seq: number }[]
  readonly steps?: number
}

t.test('a kill at any step', { timeout: process.env.EVERY_STEP ? 3_600_000 : 110_000 }, async t => {
  const measured = await trial(t, 0)
  const steps = measured.find(said => said.steps !== undefined)?.steps ?? 0
  t.ok(steps > 100, `${steps} steps without a kill`)
  const schedule = spread(steps)
  const end = performance.now() + budgetMs
  let kills = 0
  async function work(): Promise<void> {
    for (let at = schedule.shift(); at !== undefined && performance.now() < end; at = schedule.shift()) {
      await trial(t, at)
      kills++
    }
  }
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, work))
  t.comment(`killed at ${kills} of ${steps} steps`)
  t.ok(kills >= 5, `${kills} kills`)
})

/** One site of its own: killed at the step, looked at, then run to its end. */
async function trial(t: Test, dieAt: number): Promise<readonly Said[]> {
  const dir = await mkdtemp(join(tmpdir(), 'kill-step-'))
  const upstream = await FakeRegistry.start()
  try {
    const layers = [seededBytes('base', 900_000), seededBytes('app', 300_000)]
    upstream.putImage('mecm/web', '1', layers)
    upstream.putImage('mecm/side', '1', layers.slice(0, 1))
    const first = await run(dir, upstream.host, dieAt)
    if (dieAt === 0) return first
    const name = `step ${dieAt}`
    checkTags(t, dir, name)
    const kept = offsets(dir, upstream)
    upstream.clearLog()
    const second = await run(dir, upstream.host, 0)
    checkStatuses(t, first, second, name)
    checkFetched(t, kept, upstream, name)
    checkTags(t, dir, name)
    return second
  } finally {
    await upstream.stop()
    await rm(dir, { recursive: true, force: true })
  }
}

async function run(dir: string, upstream: string, dieAt: number): Promise<readonly Said[]> {
  // A test runner puts itself into every child's Node by NODE_OPTIONS
  const args = ['-u', 'NODE_OPTIONS', process.execPath, child, dir, upstream, String(dieAt)]
  const running = spawn('env', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(running, 'exit')
  const limit = setTimeout(() => running.kill('SIGTERM'), 20_000)
  const output = await text(running.stdout)
  await exited
  clearTimeout(limit)
  if (running.signalCode === 'SIGTERM') throw new Error(`not done within 20 s after a kill at step ${dieAt}: ${output}`)
  return output
    .trim()
    .split('\n')
    .filter(line => line !== '')
    .map((line): Said => JSON.parse(line))
}

/** Bytes of each blob that the next process need not ask for. */
function offsets(dir: string, upstream: FakeRegistry): ReadonlyMap<Digest, { size: number; kept: number }> {
  const root = join(dir, 'registry')
  const found = new Map<Digest, { size: number; kept: number }>()
  const synced = new Map(query(dir, 'SELECT digest, synced FROM ingests').map(row => [row.digest, Number(row.synced)]))
  for (const repository of ['mecm/web', 'mecm/side']) {
    for (const [name, { size }] of upstream.content.repository(repository).blobs) {
      const digest = parseDigest(name)
      const whole = statSync(blobPath(root, digest), { throwIfNoEntry: false })
      const part = statSync(ingestPath(root, digest), { throwIfNoEntry: false })
      // The machine goes on, so the whole file counts, not only what was synced
      const arrived = synced.has(digest) ? Math.max(synced.get(digest) ?? 0, part?.size ?? 0) : 0
      found.set(digest, { size, kept: whole ? size : arrived })
    }
  }
  return found
}

function checkFetched(t: Test, kept: ReturnType<typeof offsets>, upstream: FakeRegistry, name: string): void {
  for (const { reference, headers } of upstream.find({ kind: 'blob', method: 'GET' })) {
    const start = Number(/^bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0)
    const before = kept.get(parseDigest(reference))
    t.ok(before !== undefined && before.kept < before.size, `${name}: a complete blob is not asked for`)
    t.ok(start >= (before?.kept ?? 0), `${name}: asked from ${start}, ${before?.kept} were there`)
  }
}

function checkStatuses(t: Test, first: readonly Said[], second: readonly Said[], name: string): void {
  const wasTaken = first.some(said => said.outcome === 'accepted')
  t.notOk(wasTaken && second.some(said => said.outcome !== undefined), `${name}: an acknowledged plan is there`)
  const told = [...first, ...second, ...second.flatMap(said => said.outbox ?? [])]
  const ends = new Set(told.filter(said => said.phase === 'Ready').map(said => said.seq))
  t.equal(ends.size, 1, `${name}: Ready once, as ${[...ends]}`)
  const others = told.filter(said => said.phase !== undefined && said.phase !== 'Ready')
  t.notOk(
    others.some(said => ['Failed', 'Rejected'].includes(said.phase ?? '')),
    `${name}: nothing failed`,
  )
  const numbers = new Map<number, string>()
  for (const { seq, phase } of told) {
    if (seq === undefined || phase === undefined) continue
    t.ok((numbers.get(seq) ?? phase) === phase, `${name}: number ${seq} means one status`)
    numbers.set(seq, phase)
  }
}

/** Whatever a tag points at is there, byte for byte. */
function checkTags(t: Test, dir: string, name: string): void {
  for (const { digest } of query(dir, 'SELECT digest FROM tags')) {
    const bytes = contentOf(dir, parseDigest(String(digest)))
    t.ok(bytes, `${name}: the tagged manifest is there`)
    const manifest = bytes && parseManifest(bytes)
    if (manifest?.kind !== 'image') continue
    const config = manifest.config ? [manifest.config] : []
    for (const blob of [...config, ...manifest.layers]) t.ok(contentOf(dir, blob.digest), `${name}: its blob is there`)
  }
}

function contentOf(dir: string, digest: Digest): Uint8Array | undefined {
  const path = blobPath(join(dir, 'registry'), digest)
  if (!existsSync(path)) return undefined
  const bytes = readFileSync(path)
  return digestOf(bytes, algorithmOf(digest)) === digest ? bytes : undefined
}

function query(dir: string, sql: string): Record<string, unknown>[] {
  const db = new Database(join(dir, 'state/agent.db'))
  try {
    return db.prepare<[], Record<string, unknown>>(sql).all()
  } finally {
    db.close()
  }
}

/** All steps from 1 on, so ordered that any beginning is spread over the whole; the same in every run. */
function spread(steps: number): number[] {
  const golden = 0.618_033_988_75
  const order = Array.from({ length: steps }, (_, at) => ({ step: at + 1, key: (at * golden) % 1 }))
  return order.sort((a, b) => a.key - b.key).map(each => each.step)
}
