/** The reference of image management says what the code does: its documents are valid, and every call in it is there. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { managementPath } from '../src/http/management/routes.ts'
import {
  readDocuments,
  readImageCleanupPolicy,
  readRegistrySecret,
  readRepository,
} from '../src/management/documents.ts'
import { startApi } from './fixtures/agent-facts.ts'
import { FakeManagement } from './fixtures/fake-management.ts'

const text = (name: string) => readFileSync(join(import.meta.dirname, '../docs', name), 'utf8')
const readers = {
  RegistrySecret: readRegistrySecret,
  Repository: readRepository,
  ImageCleanupPolicy: readImageCleanupPolicy,
} as const

t.test('its documents are valid', async t => {
  const blocks = ['image-management.md', 'cleanup.md'].flatMap(name => [
    ...text(name).matchAll(/```yaml\n([\s\S]*?)```/g),
  ])
  const readings = blocks.map(([, block = '']) => readDocuments(block))
  t.same(
    readings.flatMap(({ problems }) => problems),
    [],
  )
  const kinds = readings.flatMap(({ documents }) => documents)
  t.same(new Set(kinds.map(({ kind }) => kind)), new Set(Object.keys(readers)))
  for (const { kind, value } of kinds) if (kind !== 'DistributionPlan') t.doesNotThrow(() => readers[kind](value), kind)
})

t.test('every call that it names is there', async t => {
  const { app } = await startApi(t, { management: new FakeManagement() })
  const paths = Object.keys((await app.inject('/openapi.json')).json().paths).filter(path =>
    path.startsWith(managementPath),
  )
  const reference = text('image-management.md')
  const missing = paths.filter(path => {
    const [, verb] = /\{name\}\/([a-z-]+)$/.exec(path) ?? []
    return verb !== undefined && !reference.includes(`/${verb}`)
  })
  t.same(missing, [])
})
