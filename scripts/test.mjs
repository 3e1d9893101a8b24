/**
 * `npm test [-- FILE…]`: sets up, sees to the programs of the tests against real servers, runs tap, and prints one line per
 * test file, failures whole, and the sum at the end.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { preparePrograms } from './debian.mjs'
import { root, setUp } from './setup.mjs'

try {
  setUp()
  preparePrograms('test/fixtures/debian-packages.json', 'tests against real servers')
  process.exitCode = await runTests(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}

async function runTests(files) {
  const bin = join(root, 'node_modules/.bin')
  const tap = spawn(join(bin, 'tap'), ['run', '--reporter=tap', ...files], {
    cwd: root,
    env: { ...process.env, PATH: [bin, process.env.PATH].join(delimiter) },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(tap, 'close')
  const summary = await report(createInterface({ input: tap.stdout }))
  const [code] = await ended
  if (summary === undefined) throw new Error('the test run ended without a summary')
  const { total, pass = 0, fail = 0, skip = 0, todo = 0 } = summary
  const rest = [skip ? `, ${skip} left out` : '', todo ? `, ${todo} to do` : ''].join('')
  say(`\n${pass} passed, ${fail} failed${rest} of ${total}`)
  return code ?? 1
}

/** Reads tap's output: one line per file, and what failed in it. Returns the numbers of its last comment. */
async function report(lines) {
  const skipped = new Map() // but for missing programs, which debian.mjs has told
  let block = []
  let summary
  for await (const line of lines) {
    const reason = /^\s+ok .* # SKIP (.+)$/.exec(line)?.[1]
    if (reason && !reason.includes('apt-get install')) skipped.set(reason, (skipped.get(reason) ?? 0) + 1)
    const end = /^(not )?ok \d+ - (.*?) # time=([\d.]+)/.exec(line)
    const numbers = /^# \{ (total: .*) \}$/.exec(line)?.[1]
    if (end) {
      const [, failed, file, milliseconds] = end
      say(`${failed ? 'FAIL' : 'ok  '} ${file} ${(Number(milliseconds) / 1000).toFixed(1)} s`)
      if (failed && block.length > 0) say(block.join('\n'))
    } else if (numbers) {
      summary = Object.fromEntries(numbers.split(', ').map(pair => [pair.split(': ')[0], Number(pair.split(': ')[1])]))
    } else if (line.startsWith('# Subtest')) {
      block = []
    } else if (/^ {2}(expired|signal|exitCode|tapError): (?!null)/.test(line)) {
      say(line) // why a whole file failed
    } else if (line.startsWith('    ')) {
      block = withoutPassed([...block, line])
    }
  }
  for (const [reason, count] of skipped) say(`left out ${count}: ${reason}`)
  return summary
}

/** Drops the last line if it says that something passed, with the subtest that it closes. */
function withoutPassed(block) {
  const last = block.at(-1)
  const passed = /^(\s+)ok \d+/.exec(last)
  if (!passed) return /^\s*(\d+\.\.\d+.*|# time=.*)?$/.test(last) ? block.slice(0, -1) : block
  const [, indent] = passed
  for (let at = block.length - 2; at >= 0; at--) {
    const line = block[at]
    if (line.startsWith(`${indent}# Subtest`)) return block.slice(0, at)
    if (line.startsWith(`${indent}not ok`) || !line.startsWith(indent)) break
  }
  return block.slice(0, -1)
}

function say(line) {
  process.stdout.write(`${line}\n`)
}
