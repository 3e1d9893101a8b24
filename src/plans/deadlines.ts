/**
 * What was said about when plans will be here, held against how they get on. Looks at the whole line, since plans that go first take
 * the link first. Used by queue.ts at every quote and every half minute.
 */
import type { TransferEngine } from '../transfer/engine.ts'
import { compareTurns, type Entry } from './line.ts'
import { judge, judgeTime, type Needs, type Outlook } from './outlook.ts'

/** A plan is out of danger once it would be here so much of the time that is left before its deadline: estimates waver. */
const margin = 0.1

export interface DeadlinesOptions {
  readonly engine: TransferEngine
  /** Bytes a second that these hosts have given before, where it is known. */
  readonly rate: (hosts: readonly string[]) => number | undefined
  /** Epoch milliseconds. */
  readonly now: () => number
  /** The verdict on a plan has changed, and its report says so. */
  readonly changed: (entry: Entry) => void
}

export class Deadlines {
  readonly #options: DeadlinesOptions

  constructor(options: DeadlinesOptions) {
    this.#options = options
  }

  /** What is to be expected of a plan that was just quoted. */
  judge(entry: Entry, line: Iterable<Entry>, needs: Needs): Promise<Outlook> {
    const { engine, rate, now } = this.#options
    const first = [...line].filter(other => other !== entry && !waitsToTry(other) && compareTurns(other, entry) < 0)
    const ahead = first.reduce((sum, other) => sum + other.report.bytesLeft, 0)
    return judge(entry.plan, { ...needs, ahead }, { engine, now: now(), rate: rate(needs.hosts) })
  }

  /** Judges every plan of the line anew, and tells of those whose verdict is another by now. */
  look(line: Iterable<Entry>): void {
    let ahead = 0
    for (const entry of [...line].sort(compareTurns)) {
      this.#lookAt(entry, ahead)
      if (!waitsToTry(entry)) ahead += entry.report.bytesLeft
    }
  }

  #lookAt(entry: Entry, ahead: number): void {
    const { engine, rate, now, changed } = this.#options
    const { plan, report } = entry
    const bytes = report.bytesLeft
    const [first] = plan.images
    // Not quoted yet, all here, or waiting for space, which says itself what is missing
    if (report.outlook === undefined || bytes === 0 || first === undefined) return
    if (entry.last === undefined || entry.last.why.reason === 'Space' || waitsToTry(entry)) return
    const hosts = engine.hostsOf(first)
    const outlook = judgeTime(plan, { bytes, disk: 0, ahead, hosts }, { engine, now: now(), rate: rate(hosts) })
    const before = report.outlook.verdict
    if (outlook.verdict === 'Accepted' && before === 'AtRisk' && !isSafe(outlook, plan.readyBy, now())) {
      report.outlook = { ...report.outlook, readyAt: outlook.readyAt }
      return
    }
    report.outlook = outlook
    if (outlook.verdict !== before) changed(entry)
  }
}

function isSafe({ readyAt }: Outlook, readyBy: number | undefined, now: number): boolean {
  return readyBy === undefined || (readyAt !== undefined && readyAt <= readyBy - margin * (readyBy - now))
}

/** Waits outside the line because something failed; until then, others have the link. */
function waitsToTry(entry: Entry): boolean {
  return entry.nextTryAt !== undefined
}
