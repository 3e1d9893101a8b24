/** Progress of runs: the newest figures, at most one telling in each interval. Used by the queue. */
import type { RunReport } from './run-report.ts'
import { formatTime, type Phase, type PlanProgress } from './status.ts'

/** Images that are told of one by one; of a larger plan, only the sums are. */
const maxImages = 100

export interface ProgressOptions {
  readonly edge: string
  readonly intervalMs: number
  /** Epoch milliseconds. */
  readonly now: () => number
  readonly tell: (progress: PlanProgress) => void
}

/** Tells how a run gets on while it is watched. */
export class ProgressMeter {
  readonly #options: ProgressOptions
  readonly #report: RunReport
  #phase: Phase = 'Accepted'
  #timer: NodeJS.Timeout | undefined

  constructor(report: RunReport, options: ProgressOptions) {
    this.#report = report
    this.#options = options
  }

  start(): void {
    this.#report.onBytes = () => {
      // The first change sets the timer, later ones join it: nothing is told while nothing happens
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined
        this.#options.tell(this.read())
      }, this.#options.intervalMs)
    }
  }

  stop(): void {
    this.#report.onBytes = () => {}
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  set phase(phase: Phase) {
    this.#phase = phase
  }

  read(): PlanProgress {
    const { plan, quote, bytes } = this.#report
    const images = this.#report.images.map(({ target, phase, bytesTotal, bytesPresent, bytesDone }) => {
      return { target, phase, bytesTotal, bytesPresent, bytesDone }
    })
    return {
      plan: plan.name,
      revision: plan.revision,
      edge: this.#options.edge,
      at: formatTime(this.#options.now()),
      phase: this.#phase,
      bytesMissing: quote?.bytesMissing ?? 0,
      bytes,
      ...(images.length <= maxImages ? { images } : {}),
      ...this.#report.pace(),
    }
  }
}
