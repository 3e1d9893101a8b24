/** Where a command writes: results to standard output, everything else to standard error. Passed to every command; tests give their own. */

/** The part of a stream that is used here; `process.stdout` is one. */
export interface OutputStream {
  write(text: string): boolean
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}

export class Terminal {
  readonly #output: OutputStream
  readonly #errors: OutputStream
  readonly #env: NodeJS.ProcessEnv
  #closed = false
  #written = false

  constructor(output: OutputStream, errors: OutputStream, env: NodeJS.ProcessEnv) {
    this.#output = output
    this.#errors = errors
    this.#env = env
    // `| head` closes the pipe: that ends the output, not the command.
    const onError = (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      this.#closed = true
    }
    output.on('error', onError)
    errors.on('error', onError)
  }

  /** Whether a person looks at standard output. */
  get interactive(): boolean {
    return this.#output.isTTY === true && this.#env.TERM !== 'dumb'
  }

  /** Whether colours are welcome. https://no-color.org */
  get colors(): boolean {
    return this.interactive && (this.#env.NO_COLOR ?? '') === ''
  }

  get columns(): number {
    return this.#output.columns || 80 // 0: a terminal that doesn't know
  }

  get rows(): number {
    return this.#output.rows || 24
  }

  /** A line of the result. */
  print(line: string): void {
    this.write(`${line}\n`)
  }

  /** The result as JSON, for programs. */
  printJson(value: unknown): void {
    this.print(JSON.stringify(value, null, 2))
  }

  /** Whether anything of a result was written. */
  get hasWritten(): boolean {
    return this.#written
  }

  /** Text as it is: the bars of a progress. */
  write(text: string): void {
    this.#written = true
    if (!this.#closed) this.#output.write(text)
  }

  /** A line beside the result: a warning, a hint, what went wrong. */
  note(line: string): void {
    this.#errors.write(`${line}\n`)
  }
}

/** Text from outside without what could steer a terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ')
}
