/**
 * Whoever watches over the line that all answers come through: told of every byte, and able to let the reader wait. The registries
 * know no more of rates and budgets than this. Implemented by transfer/link.
 */
export interface Line {
  /**
   * Bytes that one read may take from the kernel now, on whichever connection: a rate of some of the content alone is not in it. A kernel
   * keeps less for who reads little at once, and what it keeps arrives beyond a rate.
   */
  readonly mostAtOnce: number
  /** The head of a request or of its answer crossed the line; about so many bytes. */
  head(host: string, bytes: number): void
  /** The body of an answer begins. `length` in bytes, where it is announced. */
  body(host: string, length: number | undefined): Passage
}

/** One body on its way. */
export interface Passage {
  /** So many bytes of it have come. */
  came(bytes: number): void
  /** Resolves when more of it may be read. Not reading is what slows the sender down. Rejects with the signal's reason. */
  more(signal: AbortSignal): Promise<void>
}

/** About the bytes of a head: names and values of its headers, and its first line. */
export function headBytes(headers: Readonly<Record<string, string | string[] | undefined>>, firstLine = 16): number {
  let bytes = firstLine + 2
  for (const [name, value] of Object.entries(headers)) {
    for (const each of Array.isArray(value) ? value : [value ?? '']) bytes += name.length + each.length + 4
  }
  return bytes
}
