/**
 * Turns on the link: so many blobs move at once over all plans, higher priorities first. Used by blob-fetcher.ts.
 * Giving way is cheap, since an ingest keeps what has arrived: a waiter of a higher priority takes the turn of the lowest holder.
 */

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
  readonly priority: () => number
  readonly controller: AbortController
}

interface Waiter {
  readonly priority: () => number
  grant(slot: Slot): void
}

export class Slots {
  readonly #limit: number
  readonly #holders = new Set<Holder>()
  /** In order of arrival. */
  readonly #waiters: Waiter[] = []

  constructor(limit: number) {
    this.#limit = limit
  }

  /**
   * Waits for a turn. `priority` is asked anew at each decision, since what is wanted may become more urgent meanwhile.
   * Rejects with the signal's reason when it aborts first.
   */
  async acquire(priority: () => number, signal: AbortSignal): Promise<Slot> {
    signal.throwIfAborted()
    return await new Promise<Slot>((resolve, reject) => {
      const leave = () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
        reject(signal.reason)
      }
      const waiter: Waiter = {
        priority,
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
    while (this.#holders.size < this.#limit) {
      const next = highest(this.#waiters)
      if (!next) return
      this.#waiters.splice(this.#waiters.indexOf(next), 1)
      next.grant(this.#hand(next.priority))
    }
    this.#preempt()
  }

  #hand(priority: () => number): Slot {
    const holder: Holder = { priority, controller: new AbortController() }
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
    const next = highest(this.#waiters)
    if (!next) return
    const holders = [...this.#holders]
    if (holders.some(holder => holder.controller.signal.aborted)) return
    const lowest = holders.reduce<Holder | undefined>(
      (low, holder) => (low === undefined || holder.priority() <= low.priority() ? holder : low),
      undefined,
    )
    if (lowest && lowest.priority() < next.priority())
      lowest.controller.abort(new GiveWay('a more urgent transfer waits'))
  }
}

function highest(waiters: readonly Waiter[]): Waiter | undefined {
  return waiters.reduce<Waiter | undefined>(
    (best, waiter) => (best === undefined || waiter.priority() > best.priority() ? waiter : best),
    undefined,
  )
}
