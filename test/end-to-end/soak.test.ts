/** Half a minute of the soak (`npm run soak` is the long one): cuts, outages, stalls, kills and a broker that goes away. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { soak } from '../../bench/soak-site.ts'

t.test('every plan becomes Ready, whatever happens around it', { timeout: 110_000 }, async t => {
  const dir = await mkdtemp(join(tmpdir(), 'soak-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  const report = await soak({ dir, seconds: 20, seed: 7, signal: AbortSignal.timeout(100_000) })
  t.comment(JSON.stringify(report))
  t.same(report.failures, [])
  t.ok(report.plansReady >= 4, `${report.plansReady} plans ready`)
  t.ok(report.kills > 0 && report.brokerRestarts > 0 && report.connections > 10, 'it was a bad day')
  t.ok(
    report.bytesCrossed <= report.bytesNeeded * 1.2 + report.kills * 1024 * 1024,
    `${report.bytesCrossed} bytes crossed, ${report.bytesNeeded} needed`,
  )
})
