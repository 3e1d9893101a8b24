/** The demo saw something other than it should have. */
export class DemoFailure extends Error {
  override readonly name = 'DemoFailure'

  constructor(what: string, expected: string, actual: string) {
    super(`${what}: expected ${expected}, got ${actual}`)
  }
}
