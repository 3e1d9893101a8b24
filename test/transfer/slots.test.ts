import t from 'tap'
import { GiveWay, type Slot, Slots } from '../../src/transfer/slots.ts'

const never = new AbortController().signal
const at = (priority: number, readyBy?: number) => () => ({ priority, readyBy })

t.test('no more than the limit hold a turn; the highest priority is next', async t => {
  const slots = new Slots(1)
  const order: number[] = []
  const first = await slots.acquire(at(50), never)
  const waiting = [10, 50, 30].map(async priority => {
    const slot = await slots.acquire(at(priority), never)
    order.push(priority)
    slot.release()
  })
  t.same(order, [])
  first.release()
  await Promise.all(waiting)
  t.same(order, [50, 30, 10])
})

t.test('a more urgent waiter makes the least urgent holder give way, and nobody else', async t => {
  const slots = new Slots(2)
  const low = await slots.acquire(at(10), never)
  const high = await slots.acquire(at(90), never)
  const equal = slots.acquire(at(10), never)
  t.equal(low.signal.aborted, false, 'an equal one waits')
  const urgent = slots.acquire(at(50), never)
  t.ok(low.signal.reason instanceof GiveWay)
  t.equal(high.signal.aborted, false)
  low.release()
  const served: Slot = await urgent
  served.release()
  ;(await equal).release()
  high.release()
})

t.test('within a priority the earliest deadline is next, and what has none comes last', async t => {
  const slots = new Slots(1)
  const order: unknown[] = []
  const first = await slots.acquire(at(50, 100), never)
  const waiting = [undefined, 300, 200, undefined].map(async (readyBy, place) => {
    const slot = await slots.acquire(at(50, readyBy), never)
    order.push([readyBy, place])
    slot.release()
  })
  t.equal(first.signal.aborted, false, 'nobody is more urgent')
  first.release()
  await Promise.all(waiting)
  t.same(order, [
    [200, 2],
    [300, 1],
    [undefined, 0],
    [undefined, 3],
  ])
})

t.test('an earlier deadline takes a turn within a priority', async t => {
  const slots = new Slots(1)
  const late = await slots.acquire(at(50, 200), never)
  const early = slots.acquire(at(50, 100), never)
  t.ok(late.signal.reason instanceof GiveWay)
  late.release()
  ;(await early).release()
})

t.test('who stops waiting leaves no trace', async t => {
  const slots = new Slots(1)
  const held = await slots.acquire(at(1), never)
  const controller = new AbortController()
  const waiting = slots.acquire(at(99), controller.signal)
  const reason = new Error('withdrawn')
  controller.abort(reason)
  await t.rejects(waiting, reason)
  held.release()
  held.release()
  ;(await slots.acquire(at(1), never)).release()
})
