/** `npm run bench [-- OPTIONS]`: sets up, sees to the programs that are raced, and runs the benchmark (bench/main.ts). */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { preparePrograms } from './debian.mjs'
import { root, setUp } from './setup.mjs'

try {
  setUp()
  if (preparePrograms('bench/debian-packages.json', 'the benchmark')) {
    const node = join(root, 'node_modules/.bin/node')
    const { status } = spawnSync(node, [join(root, 'bench/main.ts'), ...process.argv.slice(2)], { stdio: 'inherit' })
    process.exitCode = status ?? 1
  } else process.exitCode = 1
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
