import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { everyKind } from '../fixtures/images.ts'
import { openTestStore, putSample } from '../fixtures/open-store.ts'
import { findProgram, lacking } from '../fixtures/programs.ts'

const run = promisify(execFile)

t.test('skopeo reads images from the store’s folder as an OCI layout', { skip: lacking('skopeo') }, async t => {
  const { store, root } = await openTestStore(t)
  const skopeo = findProgram('skopeo') ?? 'skopeo'
  const samples = everyKind()
  // Docker's media types are kept as they are, but skopeo looks only for OCI's in a layout.
  const images = ['oci image', 'oci index', 'nested index', 'zstd layers', 'signed image'] as const
  for (const [at, kind] of images.entries()) {
    const sample = samples[kind]
    if (sample) await putSample(store, 'mecm/web', sample, `v${at}`)
  }
  await store.stop()
  for (const [at, kind] of images.entries()) {
    const { stdout } = await run(skopeo, ['inspect', '--raw', `oci:${root}:mecm/web:v${at}`])
    t.equal(stdout, Buffer.from(samples[kind]?.root.bytes ?? []).toString(), kind)
  }
  const copy = join(t.testdirName, 'copy')
  await run(skopeo, ['copy', '--insecure-policy', '--all', `oci:${root}:mecm/web:v1`, `dir:${copy}`])
})
