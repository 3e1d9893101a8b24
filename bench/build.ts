/** The agent as it is installed: compiled. Run from source, Node's type stripper alone takes 25 MiB and half a second. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')

/** Compiles into dist, and gives the program's path. @throws Error with what the compiler said. */
export function buildAgent(): string {
  const tsc = join(root, 'node_modules/.bin/tsc')
  const { status, stdout } = spawnSync(tsc, ['-p', 'tsconfig.build.json'], { cwd: root, encoding: 'utf8' })
  if (status !== 0) throw new Error(`the build failed:\n${stdout}`)
  return join(root, 'dist/main.js')
}
