/**
 * The real registries, brokers and readers that some tests, and the benchmark, are run against: Debian packages, installed where
 * that is possible, named where it isn't.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { root } from './setup.mjs'

const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'].filter(Boolean)

/**
 * Installs the missing ones of the programs that `list` names, with their packages, by apt-get where this is root on Debian and
 * EDGE_IMAGE_AGENT_NO_INSTALL is not set. Otherwise, or where that fails, says in one line what to install.
 * @param {string} list a JSON file of this project: programs and their packages
 * @param {string} without what there is not until then
 * @returns {boolean} whether all are there
 */
export function preparePrograms(list, without) {
  const packages = JSON.parse(readFileSync(join(root, list), 'utf8'))
  if (missing(packages).length === 0) return true
  const mayInstall = process.getuid?.() === 0 && has('apt-get') && !process.env.EDGE_IMAGE_AGENT_NO_INSTALL
  const failure = mayInstall ? install(missing(packages)) : ''
  const left = missing(packages)
  if (left.length > 0) say(`Left out: ${without}. Needed: apt-get install ${left.join(' ')}${failure}`)
  return left.length === 0
}

function missing(packages) {
  const names = Object.entries(packages).filter(([program]) => !has(program))
  return [...new Set(names.map(([, name]) => name))]
}

function has(program) {
  return folders.some(folder => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** @returns {string} nothing, or why it failed */
function install(names) {
  say(`Installing Debian packages: ${names.join(' ')} …`)
  // RUNLEVEL=1: the packages bring services, which nobody here wants started.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  const apt = (...args) => spawnSync('apt-get', ['-qq', ...args], { env, encoding: 'utf8', timeout: 300_000 })
  apt('update')
  const { status, stderr } = apt('install', '-y', '--no-install-recommends', ...names)
  return status === 0 ? '' : ` (tried it: ${stderr.trim().split('\n').at(-1)})`
}

function say(line) {
  process.stderr.write(`${line}\n`)
}
