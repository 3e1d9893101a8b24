/**
 * Turns on the link: so many blobs move at once over all plans, the most urgent first. Used by blob-fetcher.ts.
 * Giving way is cheap, since an ingest keeps what has arrived: a more urgent waiter takes the turn of the least urgent holder.
 */
import type { Throughput } from './link/throughput.ts'
import { compareUrgency, type Urgency } from './urgency.ts'

/** So many move at once however much they bring: while one is being asked for or put in place, the other's bytes come. */
const always = 2

/** The reason of an abort by which a holder learns that it has to give way and queue again. */
export class GiveWay extends Error {
  override readonly name = 'GiveWay'
}

/** A turn. Whoever holds it stops when `signal` aborts, and always releases. */
export interface Slot {
  readonly signal: AbortSignal
  release(): void
}

interface Holder {
  readonly urgency: () => Urgency
  readonly controller: AbortController
}

interface Waiter {
  readonly urgency: () => Urgency
  grant(slot: Slot): void
}

export class Slots {
  readonly #limit: number
  readonly #throughput: Throughput | undefined
  readonly #holders = new Set<Holder>()
  /** In order of arrival. */
  readonly #waiters: Waiter[] = []

  /** @param throughput where more than two at once make sense only while these don't bring enough. */
  constructor(limit: number, throughput?: Throughput) {
    this.#limit = limit
    this.#throughput = throughput
  }

  /**
   * Waits for a turn. `urgency` is asked anew at each decision, since what is wanted may become more urgent meanwhile.
   * Rejects with the signal's reason when it aborts first.
   */
  async acquire(urgency: () => Urgency, signal: AbortSignal): Promise<Slot> {
    signal.throwIfAborted()
    return await new Promise<Slot>((resolve, reject) => {
      const leave = () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
        reject(signal.reason)
      }
      const waiter: Waiter = {
        urgency,
        grant: slot => {
          signal.removeEventListener('abort', leave)
          resolve(slot)
        },
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiters.push(waiter)
      this.#serve()
    })
  }

  #serve(): void {
    for (let next = first(this.#waiters); next && this.#hasRoomFor(next); next = first(this.#waiters)) {
      if (this.#holders.size === 0) this.#throughput?.begin()
      this.#waiters.splice(this.#waiters.indexOf(next), 1)
      next.grant(this.#hand(next.urgency))
    }
    if (this.#waiters.length > 0) this.#throughput?.look(() => this.#serve())
    else this.#throughput?.rest()
    this.#preempt()
  }

  /** Enough for those that move is not enough for what is more urgent: it need not cut one of them while there are turns. */
  #hasRoomFor(next: Waiter): boolean {
    const count = this.#holders.size
    if (count < always || count >= this.#limit || !this.#throughput?.isAmple) return count < this.#limit
    return this.#isBefore(next, this.#leastUrgent())
  }

  #isBefore(next: Waiter, holder: Holder | undefined): boolean {
    return holder !== undefined && compareUrgency(next.urgency(), holder.urgency()) < 0
  }

  #leastUrgent(): Holder | undefined {
    return [...this.#holders].reduce<Holder | undefined>(
      (least, holder) =>
        least === undefined || compareUrgency(holder.urgency(), least.urgency()) >= 0 ? holder : least,
      undefined,
    )
  }

  #hand(urgency: () => Urgency): Slot {
    const holder: Holder = { urgency, controller: new AbortController() }
    this.#holders.add(holder)
    return {
      signal: holder.controller.signal,
      release: () => {
        if (this.#holders.delete(holder)) this.#serve()
      },
    }
  }

  /** Asks one holder to give way; when it has, the next is served, and this is looked at again. */
  #preempt(): void {
    const next = first(this.#waiters)
    if (!next) return
    if ([...this.#holders].some(holder => holder.controller.signal.aborted)) return
    const least = this.#leastUrgent()
    if (least && this.#isBefore(next, least)) least.controller.abort(new GiveWay('a more urgent transfer waits'))
  }
}

/** The most urgent one; among equals the first that came. */
function first(waiters: readonly Waiter[]): Waiter | undefined {
  return waiters.reduce<Waiter | undefined>(
    (best, waiter) => (best === undefined || compareUrgency(waiter.urgency(), best.urgency()) < 0 ? waiter : best),
    undefined,
  )
}
