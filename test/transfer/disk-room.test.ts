import t from 'tap'
import { DiskRoom } from '../../src/transfer/disk-room.ts'

t.test('room is promised once, and the reserve to nobody', async t => {
  let free = 100
  const room = new DiskRoom({ freeBytes: async () => free, reserve: 20 })
  t.equal(await room.freeBytes(), 80)
  const first = await room.claim(50)
  await t.rejects(room.claim(40), {
    code: 'NO_SPACE',
    message: /40 bytes are to come, 100 are free.* 10 bytes are missing/,
  })
  free = 70
  first.filled(30)
  const second = await room.claim(30)
  first.release()
  second.release()
  t.ok(await room.claim(50))
  await t.rejects(room.claim(1), { code: 'NO_SPACE' })
  free = 10
  t.equal(await room.freeBytes(), 0)
  t.ok(await room.claim(0), 'what needs no room gets it')
})

t.test('many small claims share one look at the disk, and none is refused by an old one', async t => {
  const disk = { free: 100, looks: 0 }
  let now = 0
  const room = new DiskRoom({
    freeBytes: async () => {
      disk.looks++
      return disk.free
    },
    reserve: 0,
    now: () => now,
  })
  const claims = [await room.claim(30), await room.claim(30)]
  t.equal(disk.looks, 1)
  for (const claim of claims) {
    claim.filled(30)
    claim.release()
  }
  disk.free = 40
  t.ok(await room.claim(40))
  t.equal(disk.looks, 1, 'what was written since is known')
  await t.rejects(room.claim(1), { code: 'NO_SPACE' })
  t.equal(disk.looks, 2)
  disk.free = 60
  t.ok(await room.claim(20), 'somebody else made room')
  t.equal(disk.looks, 3)
  now = 1000
  await room.claim(0)
  t.equal(disk.looks, 4)
})

t.test('where nobody knows what is free, everything is tried', async t => {
  const room = new DiskRoom({ freeBytes: async () => undefined, reserve: 20 })
  t.equal(await room.freeBytes(), undefined)
  t.ok(await room.claim(1e15))
})
