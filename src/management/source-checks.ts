/** Checks of sources: on demand, and from time to time by themselves, a few at once. What comes of each is written down. Used by sources.ts. */
import type { Logger } from 'pino'
import { toImageError } from '../oci/errors.ts'
import type { SourceRow, SourceRows } from '../state/sources.ts'
import type { SourceAccess } from './source-access.ts'
import { type CheckResult, checkSource } from './source-check.ts'
import type { SourceDirectory } from './source-directory.ts'
import { Ticker } from './ticker.ts'

export interface SourceChecksOptions {
  readonly rows: SourceRows
  readonly directory: SourceDirectory
  readonly logger: Logger
  /** Between two checks of a source by itself, milliseconds. */
  readonly intervalMs: number
  /** For one check. */
  readonly timeoutMs: number
  readonly now: () => number
  /** In [0, 1). */
  readonly random: () => number
}

/** Checks by themselves that run at once. */
const checksAtOnce = 4

export class SourceChecks {
  /** Checks and connections that failed since the start, by the source's name. */
  readonly failures = new Map<string, number>()
  readonly #options: SourceChecksOptions
  readonly #ticker: Ticker
  /** That go on by themselves, by uid. */
  readonly #running = new Map<string, Promise<void>>()
  readonly #stopping = new AbortController()

  constructor(options: SourceChecksOptions) {
    this.#options = options
    this.#ticker = new Ticker({
      name: 'check of image sources',
      everySeconds: 5,
      work: async () => this.begin(),
      logger: options.logger,
    })
  }

  start(): void {
    this.#ticker.start()
  }

  /** Ends the checks that go on. */
  async stop(): Promise<void> {
    this.#ticker.stop()
    this.#stopping.abort(new Error('the sources are stopped'))
    await this.settle()
  }

  /** Begins the checks that are due, as many as may run at once. Called every 5 s by itself. */
  begin(): void {
    // Those that run are due still: so many more are looked at.
    for (const row of this.#options.rows.dueToVerify(this.#options.now(), 2 * checksAtOnce)) {
      if (this.#running.size >= checksAtOnce) return
      if (!this.#running.has(row.uid)) this.#running.set(row.uid, this.#byItself(row))
    }
  }

  /** Resolves when the checks that go on by themselves have ended. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#running.values())
  }

  /** Checks once and writes down what came of it. @throws the signal's reason. */
  async check(row: SourceRow, access: () => SourceAccess, signal: AbortSignal): Promise<CheckResult> {
    const { rows, now } = this.#options
    const result = await this.#ask(row, access, signal)
    const { success, message, latencyMs = null } = result
    if (!success) this.countFailure(row.name)
    rows.setVerified(row.uid, { status: success ? 'success' : 'failed', message, at: now(), latencyMs })
    rows.setVerifyDue(row.uid, this.nextCheck())
    return result
  }

  /** When a source is checked next: a tenth earlier or later, so that those that were made together are not checked together. */
  nextCheck(): number {
    const { now, intervalMs, random } = this.#options
    return Math.round(now() + intervalMs * (0.9 + 0.2 * random()))
  }

  countFailure(name: string): void {
    this.failures.set(name, (this.failures.get(name) ?? 0) + 1)
  }

  async #ask(row: SourceRow, access: () => SourceAccess, signal: AbortSignal): Promise<CheckResult> {
    const { timeoutMs } = this.#options
    const timeout = AbortSignal.timeout(timeoutMs)
    try {
      return await checkSource(access(), AbortSignal.any([signal, timeout]))
    } catch (thrown) {
      signal.throwIfAborted()
      if (timeout.aborted) {
        const message = `${row.domain} did not answer within ${timeoutMs / 1000} s; check the domain, the port and the link`
        return { success: false, message, code: 'TIMEOUT' }
      }
      const error = toImageError(thrown)
      return { success: false, message: `${error.message}. ${error.hint}`, code: error.code }
    }
  }

  async #byItself(row: SourceRow): Promise<void> {
    const { logger, directory } = this.#options
    const { namespace, name, domain, verifyStatus } = row
    try {
      const { success, code } = await this.check(row, () => directory.of(row), this.#stopping.signal)
      if (!success && verifyStatus !== 'failed') {
        logger.warn({ namespace, name, domain, code }, 'an image source does not let us in')
      }
    } catch (error) {
      if (!this.#stopping.signal.aborted) logger.error({ err: error, namespace, name }, 'a source could not be checked')
    } finally {
      this.#running.delete(row.uid)
    }
  }
}
