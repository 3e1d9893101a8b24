/** The real agent as a child process, with a real configuration file in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { request } from 'undici'
import { stringify } from 'yaml'

const root = join(import.meta.dirname, '..')

export interface AgentProcessOptions {
  /** Where configuration, log and state go. */
  readonly dir: string
  /** What agent.config.yaml says. */
  readonly config: object
  /** `http://host:port` of the agent's own HTTP server, as the configuration has it. */
  readonly api: string
}

export class AgentProcess {
  readonly configFile: string
  readonly logFile: string
  readonly #options: AgentProcessOptions
  #child: ChildProcess | undefined

  constructor(options: AgentProcessOptions) {
    this.#options = options
    this.configFile = join(options.dir, 'agent.config.yaml')
    this.logFile = join(options.dir, 'agent.log')
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /**
   * Starts the agent and waits until it says that it is ready, for 15 seconds at most.
   * @throws Error with the end of its log.
   */
  async start(signal: AbortSignal): Promise<void> {
    await writeFile(this.configFile, stringify(this.#options.config))
    const log = openSync(this.logFile, 'a')
    const args = [join(root, 'src/main.ts'), 'run', '--config', this.configFile]
    // Its own group: Ctrl-C reaches it through stop, in order.
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', log, log], detached: true })
    closeSync(log)
    this.#child = child
    for (const end = Date.now() + 15_000; Date.now() < end; await delay(50, undefined, { signal })) {
      if (child.exitCode !== null || child.signalCode !== null) break
      if (await this.#isReady()) return
    }
    throw new Error(`the agent did not become ready; the end of its log:\n${await this.logTail()}`)
  }

  /** SIGTERM, and SIGKILL after ten seconds. */
  async stop(): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    const killer = setTimeout(() => child.kill('SIGKILL'), 10_000)
    child.kill('SIGTERM')
    await gone
    clearTimeout(killer)
  }

  async logTail(): Promise<string> {
    const text = await readFile(this.logFile, 'utf8').catch(() => '')
    return text.trim().split('\n').slice(-15).join('\n')
  }

  async #isReady(): Promise<boolean> {
    try {
      const { statusCode, body } = await request(`${this.#options.api}/readyz`)
      await body.dump()
      return statusCode === 200
    } catch {
      return false
    }
  }
}
