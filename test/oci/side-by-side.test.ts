import t from 'tap'
import { sideBySide } from '../../src/oci/side-by-side.ts'

t.test('so many at once, and what came of each in the order of the items', async t => {
  let atOnce = 0
  let most = 0
  const gates = Array.from({ length: 5 }, () => Promise.withResolvers<void>())
  const all = sideBySide([0, 1, 2, 3, 4], 3, async item => {
    most = Math.max(most, ++atOnce)
    await gates[item]?.promise
    atOnce--
    return item * 10
  })
  for (const gate of gates.reverse()) gate.resolve()
  t.same(await all, [0, 10, 20, 30, 40])
  t.equal(most, 3)
  t.same(await sideBySide([], 3, async () => 1), [])
})

t.test('a failure begins nothing more, and is told when the others have ended', async t => {
  const begun: number[] = []
  const other = Promise.withResolvers<void>()
  let ended = false
  const all = sideBySide([0, 1, 2, 3], 2, async item => {
    begun.push(item)
    if (item === 0) throw new Error('first')
    await other.promise
    ended = true
    throw new Error('second')
  })
  setImmediate(() => other.resolve())
  await t.rejects(all, { message: 'first' })
  t.same(begun, [0, 1])
  t.ok(ended)
})
