/** Work that looks, every few seconds, for what is due: one node-cron task, whatever the number of things that wait. Used by Sources and Repositories. */
import { type ScheduledTask, schedule } from 'node-cron'
import type { Logger } from 'pino'

export interface TickerOptions {
  readonly name: string
  /** 1 to 59. */
  readonly everySeconds: number
  readonly work: () => Promise<void>
  readonly logger: Logger
}

export class Ticker {
  readonly #options: TickerOptions
  #task: ScheduledTask | undefined

  constructor(options: TickerOptions) {
    this.#options = options
  }

  start(): void {
    const { name, everySeconds, logger } = this.#options
    this.#task ??= schedule(`*/${everySeconds} * * * * *`, () => this.#work(), {
      name,
      noOverlap: false,
      // A tick that comes late finds what is due all the same.
      suppressMissedWarning: true,
      logger: {
        info: message => logger.debug(message),
        warn: message => logger.debug(message),
        error: message => logger.error(message),
        debug: () => undefined,
      },
    })
  }

  stop(): void {
    void this.#task?.destroy()
    this.#task = undefined
  }

  #work(): void {
    this.#options.work().catch((error: unknown) => {
      this.#options.logger.error({ err: error }, `${this.#options.name}: a tick failed`)
    })
  }
}
