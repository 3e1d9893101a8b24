/**
 * Makes a fresh clone ready: dependencies installed as the lock file says, tap built without its TypeScript plugin.
 * Called first by every npm script. Plain JavaScript, since the machine's own Node may be older than the one this installs.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, 'node_modules')
const bin = join(modules, '.bin')
const lock = join(root, '.setup-lock')
const patience = 10 * 60_000

/** Runs what is missing; a few milliseconds when nothing is. @throws Error with the whole output of a step that failed. */
export function setUp() {
  if (isReady()) return
  takeLock()
  try {
    if (!dependenciesMatch()) {
      say('Installing dependencies (npm ci) …')
      // Not from node_modules/.bin: npm ci takes that Node away while it runs.
      const path = (process.env.PATH ?? '').split(delimiter).filter(folder => resolve(folder) !== bin)
      step('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { PATH: path.join(delimiter) })
    }
    if (!tapIsBuilt()) {
      say('Preparing the test runner (tap build) …')
      step(join(bin, 'tap'), ['build'], { PATH: [bin, process.env.PATH].join(delimiter) })
    }
    if (!isReady()) throw new Error('node_modules is still not what package-lock.json says; remove it and try again')
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}

function isReady() {
  return dependenciesMatch() && tapIsBuilt()
}

/** Whether node_modules holds every package of package-lock.json, in its version. */
function dependenciesMatch() {
  const wanted = packagesOf(join(root, 'package-lock.json'))
  const present = packagesOf(join(modules, '.package-lock.json'))
  return Object.entries(wanted).every(([path, { version, optional }]) => {
    const found = present[path]
    return path === '' || (found ? found.version === version : optional === true) // optional: for other machines
  })
}

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages ?? {}
  } catch {
    return {}
  }
}

/** tap generates its Test class from its plugins; as installed, it still has the one that Node's own TypeScript replaces. */
function tapIsBuilt() {
  try {
    return !readFileSync(join(modules, '@tapjs/test/test-built/dist/esm/index.js'), 'utf8').includes(
      '@tapjs/typescript',
    )
  } catch {
    return false
  }
}

/** One set-up at a time per checkout: a folder can be made only once. The lock of a process that died is taken over. */
function takeLock() {
  for (const end = Date.now() + patience; Date.now() < end; pause(200)) {
    try {
      mkdirSync(lock)
      writeFileSync(join(lock, 'pid'), String(process.pid))
      return
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
      if (holderIsGone()) rmSync(lock, { recursive: true, force: true })
    }
  }
  throw new Error(`another set-up holds ${lock}; remove it if that one is gone`)
}

function holderIsGone() {
  try {
    const pid = Number(readFileSync(join(lock, 'pid'), 'utf8'))
    if (pid > 0) process.kill(pid, 0)
    return false // a lock without a pid is being made, or unmade
  } catch (error) {
    return error.code === 'ESRCH'
  }
}

function step(command, args, env) {
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: patience,
    maxBuffer: 64 * 1024 * 1024,
  })
  if (status === 0) return
  throw new Error(`${command} ${args.join(' ')} failed: ${error?.message ?? `exit ${status}`}\n${stdout}${stderr}`)
}

function pause(milliseconds) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}

/** To standard error: what a command prints for programs stays clean. */
function say(line) {
  process.stderr.write(`${line}\n`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    setUp()
  } catch (error) {
    say(error.message)
    process.exitCode = 1
  }
}
