/** What a program costs: CPU and peak memory, from GNU time for one that ends, from /proc for one that stays. Linux. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { findProgram } from '../test/fixtures/programs.ts'

export interface Usage {
  /** User and system time. */
  readonly cpuMs: number
  /** Resident memory at its most; of several processes one after the other, the largest. */
  readonly rssBytes: number
}

export interface RunOptions {
  readonly signal: AbortSignal
  /** A file that may be written. */
  readonly scratch: string
}

/** The kernel counts processor time in these: sysconf(_SC_CLK_TCK), 100 everywhere. */
const tickMs = 10

/**
 * Runs a program to its end; an abort kills it with all of its children.
 * @throws Error with the end of its output when it fails.
 */
export async function runMeasured(program: string, args: readonly string[], options: RunOptions): Promise<Usage> {
  options.signal.throwIfAborted()
  const time = ['-q', '-f', '%U %S %M', '-o', options.scratch, findProgram(program) ?? program, ...args]
  const child = spawn(findProgram('time') ?? 'time', time, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-2000)
    })
  }
  // The group, since the program is the child of `time`.
  const kill = () => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
  }
  options.signal.addEventListener('abort', kill, { once: true })
  try {
    const [code] = await once(child, 'close')
    options.signal.throwIfAborted()
    if (code !== 0) throw new Error(`${program} ended with ${code}: …${said.trim().slice(-100)}`)
  } finally {
    options.signal.removeEventListener('abort', kill)
  }
  const [user = 0, system = 0, kib = 0] = (await readFile(options.scratch, 'utf8')).trim().split(' ').map(Number)
  await rm(options.scratch, { force: true })
  return { cpuMs: (user + system) * 1000, rssBytes: kib * 1024 }
}

/** Milliseconds of processor time that a process has used so far. */
export async function cpuOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * tickMs
}

/** Forgets how much memory the process once held, so that {@link peakOf} tells what it holds from now on. */
export async function resetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5')
}

/** Bytes of memory that the process has held at most. */
export async function peakOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
}
