/**
 * Shows how far a plan is: on a terminal one bar per image, redrawn in place; elsewhere a line at each change of phase and one
 * every few seconds between. Used by `pull`, `plan submit --wait` and the demo.
 */
import { type ImageProgress, isTerminal, type PlanProgress, type PlanStatus } from '../plans/status.ts'
import { formatBytes, formatRate, formatSeconds } from './format.ts'
import { printable, type Terminal } from './terminal.ts'

export interface ProgressView {
  /** A status of the plan: its phase, and that of every image. */
  status(status: PlanStatus): void
  /** Bytes between two statuses. */
  progress(progress: PlanProgress): void
  /** Draws the last state and leaves the cursor below it; once. */
  finish(): void
}

interface ProgressOptions {
  /** Epoch milliseconds. */
  readonly now?: () => number
}

const redrawMs = 100
const lineEveryMs = 5000

/** The view that fits the terminal. */
export function createProgressView(terminal: Terminal, options: ProgressOptions = {}): ProgressView {
  const now = options.now ?? Date.now
  return terminal.interactive ? new BarView(terminal, now) : new LineView(terminal, now)
}

/** What the events have told so far. */
class PlanState {
  status: PlanStatus | undefined
  last: PlanProgress | undefined
  readonly images = new Map<string, ImageProgress>()

  take(images: readonly ImageProgress[]): void {
    for (const image of images) this.images.set(image.target, image)
  }

  /** `shop-2.1.0: Fetching, 12.0 MiB of 38.3 MiB, 2.4 MiB/s, 11 s left`. */
  summary(): string {
    const { status, last } = this
    const phase = status?.phase ?? last?.phase ?? 'Accepted'
    const reason = status?.reason && !isTerminal(status.phase) ? ` (${status.reason})` : ''
    const missing = status?.quote?.bytesMissing ?? last?.bytesMissing
    const done = Math.max(status?.bytes.done ?? 0, last?.bytes.done ?? 0)
    const parts = [`${phase}${reason}`]
    if (missing === 0) parts.push('everything is here already')
    else if (missing !== undefined) parts.push(`${formatBytes(done)} of ${formatBytes(missing)}`)
    if (phase === 'Fetching' && last && last.rate > 0) {
      parts.push(formatRate(last.rate))
      if (last.secondsLeft !== null) parts.push(`${formatSeconds(last.secondsLeft)} left`)
    }
    return printable(`${status?.plan ?? last?.plan ?? ''}: ${parts.join(', ')}`)
  }
}

/** Bars, redrawn at most ten times a second and in one write, so that nothing flickers. */
class BarView implements ProgressView {
  readonly #terminal: Terminal
  readonly #now: () => number
  readonly #state = new PlanState()
  #drawnLines = 0
  #drawnAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #finished = false

  constructor(terminal: Terminal, now: () => number) {
    this.#terminal = terminal
    this.#now = now
  }

  status(status: PlanStatus): void {
    this.#state.status = status
    this.#state.take(status.images)
    this.#redraw()
  }

  progress(progress: PlanProgress): void {
    this.#state.last = progress
    this.#state.take(progress.images ?? [])
    this.#redraw()
  }

  finish(): void {
    if (this.#finished || this.#drawnLines === 0) return
    this.#finished = true
    this.#draw()
  }

  #redraw(): void {
    const wait = this.#drawnAt + redrawMs - this.#now()
    if (wait <= 0) this.#draw()
    else this.#timer ??= setTimeout(() => this.#draw(), wait).unref()
  }

  #draw(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const { columns, rows, colors } = this.#terminal
    const shown = chooseImages([...this.#state.images.values()], Math.max(1, rows - 3))
    const hidden = this.#state.images.size - shown.length
    const lines = [
      ...drawBars(shown, columns - 1, colors),
      ...(hidden > 0 ? [`  … and ${hidden} more`] : []),
      this.#state.summary().slice(0, columns - 1),
    ]
    const up = this.#drawnLines > 0 ? `\u001b[${this.#drawnLines}A` : ''
    // Each line clears what an earlier, longer one left; then whatever is left below.
    this.#terminal.write(`${up}${lines.map(line => `${line}\u001b[K\n`).join('')}\u001b[J`)
    this.#drawnLines = lines.length
    this.#drawnAt = this.#now()
  }
}

/** The images in their order; where they are too many for the screen, those that are at work first. */
function chooseImages(images: readonly ImageProgress[], most: number): readonly ImageProgress[] {
  if (images.length <= most) return images
  const rank = (image: ImageProgress) => (image.phase === 'Fetching' || image.phase === 'Resolving' ? 0 : 1)
  const chosen = new Set([...images].sort((a, b) => rank(a) - rank(b)).slice(0, most))
  return images.filter(image => chosen.has(image))
}

function drawBars(images: readonly ImageProgress[], width: number, colors: boolean): string[] {
  const nameWidth = Math.min(
    Math.max(0, ...images.map(image => image.target.length)),
    Math.max(10, Math.floor(width / 3)),
  )
  return images.map(image => drawBar(image, nameWidth, width, colors))
}

/** `mecm/web:2.1.0  ██████████░░░░░  62 %  12.0/19.3 MiB  Fetching`. */
function drawBar(image: ImageProgress, nameWidth: number, width: number, colors: boolean): string {
  const { target, phase, bytesTotal } = image
  const here = Math.min(bytesTotal, image.bytesPresent + image.bytesDone)
  const share = bytesTotal > 0 ? here / bytesTotal : phase === 'Ready' ? 1 : 0
  const name = target.length > nameWidth ? `…${target.slice(target.length - nameWidth + 1)}` : target.padEnd(nameWidth)
  const amount = bytesTotal > 0 ? `${formatBytes(here)} of ${formatBytes(bytesTotal)}` : ''
  const tail = `${String(Math.floor(share * 100)).padStart(3)} %  ${amount.padEnd(22)}  ${phase}`
  const barWidth = Math.min(40, width - nameWidth - tail.length - 4)
  if (barWidth < 5) return printable(`${name}  ${tail}`).slice(0, width)
  const full = Math.round(share * barWidth)
  const bar = '█'.repeat(full) + '░'.repeat(barWidth - full)
  const color = phase === 'Failed' ? 31 : phase === 'Ready' ? 32 : 36
  return `${printable(name)}  ${colors ? `\u001b[${color}m${bar}\u001b[0m` : bar}  ${tail}`
}

/** Lines for logs and pipes. */
class LineView implements ProgressView {
  readonly #terminal: Terminal
  readonly #now: () => number
  readonly #state = new PlanState()
  #printedAt = Number.NEGATIVE_INFINITY
  #printed = ''

  constructor(terminal: Terminal, now: () => number) {
    this.#terminal = terminal
    this.#now = now
  }

  status(status: PlanStatus): void {
    const before = this.#state.status
    this.#state.status = status
    this.#takeImages(status.images)
    if (before?.phase !== status.phase || before.reason !== status.reason) this.#printSummary()
  }

  progress(progress: PlanProgress): void {
    this.#state.last = progress
    this.#takeImages(progress.images ?? [])
    if (this.#now() - this.#printedAt >= lineEveryMs) this.#printSummary()
  }

  finish(): void {}

  /** Tells every image that is in another phase than before. */
  #takeImages(images: readonly (ImageProgress & { readonly error?: string | null })[]): void {
    for (const image of images) {
      const known = this.#state.images.get(image.target)
      if (known?.phase !== image.phase && image.phase !== 'Accepted') this.#terminal.print(describeImage(image))
    }
    this.#state.take(images)
  }

  #printSummary(): void {
    this.#printedAt = this.#now()
    const line = this.#state.summary()
    if (line !== this.#printed) this.#terminal.print(line)
    this.#printed = line
  }
}

function describeImage(image: ImageProgress & { readonly error?: string | null }): string {
  const parts: string[] = [image.phase]
  if (image.phase === 'Fetching' && image.bytesTotal > 0) {
    parts.push(formatBytes(image.bytesTotal))
    if (image.bytesPresent > 0) parts.push(`${formatBytes(image.bytesPresent)} of it here already`)
  }
  if (image.error) parts.push(image.error)
  return printable(`  ${image.target}: ${parts.join(', ')}`)
}
