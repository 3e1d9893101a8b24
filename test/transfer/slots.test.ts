import t from 'tap'
import { Throughput } from '../../src/transfer/link/throughput.ts'
import { GiveWay, type Slot, Slots } from '../../src/transfer/slots.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'

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

const MiB = 1024 * 1024

t.test('where two bring enough, a third waits until they do not', async t => {
  const clock = new VirtualClock(0)
  let received = 0
  const bring = async (bytes: number) => {
    received += bytes
    await clock.pass(250)
  }
  const slots = new Slots(4, new Throughput(clock, () => received))
  const turns: Slot[] = []
  for (let count = 0; count < 6; count++) void slots.acquire(at(50), never).then(slot => turns.push(slot))
  await clock.pass(0)
  t.equal(turns.length, 2, 'what they bring is to be seen')
  await bring(100 * MiB)
  t.equal(turns.length, 2)
  turns[0]?.release()
  await clock.pass(0)
  t.equal(turns.length, 3, 'one for the one that is done')
  await bring(1 * MiB)
  t.equal(turns.length, 5, 'as many at once as may be')
  await bring(100 * MiB)
  for (const done of [1, 2]) turns[done]?.release()
  await clock.pass(0)
  t.equal(turns.length, 5, 'enough again: two are left')
  turns[3]?.release()
  await clock.pass(0)
  t.equal(turns.length, 6)
  t.equal(clock.timers, 0, 'nobody waits, so nobody looks')
})

t.test('where two bring enough, a more urgent one takes a free turn and cuts nobody', async t => {
  const slots = new Slots(3, new Throughput(new VirtualClock(0), () => 0))
  const held = [await slots.acquire(at(50), never), await slots.acquire(at(50), never)]
  const waiting = slots.acquire(at(50), never)
  held.push(await slots.acquire(at(90), never))
  t.notOk(held.some(turn => turn.signal.aborted))
  const another = slots.acquire(at(90), never)
  t.equal(held.filter(turn => turn.signal.aborted).length, 1, 'none is free')
  for (const turn of held) turn.release()
  for (const turn of await Promise.all([another, waiting])) turn.release()
})

t.test('every beginning after a rest is measured anew', async t => {
  const clock = new VirtualClock(0)
  const slots = new Slots(4, new Throughput(clock, () => 0))
  const begin = async () => {
    const turns: Slot[] = []
    for (let count = 0; count < 4; count++) void slots.acquire(at(50), never).then(slot => turns.push(slot))
    await clock.pass(0)
    const first = turns.length
    await clock.pass(250)
    for (const turn of turns) turn.release()
    return [first, turns.length]
  }
  t.same(await begin(), [2, 4])
  await clock.pass(3_600_000)
  t.same(await begin(), [2, 4])
})
