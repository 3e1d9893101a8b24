import t from 'tap'
import { steadyFigure } from '../../src/agent/steady-figure.ts'

t.test('a figure that wavers around the edge of a step is told once', async t => {
  const round = steadyFigure(100)
  t.same(
    [1_050, 1_001, 999, 1_000, 950, 901, 1_099].map(round),
    Array.from({ length: 7 }, () => 1_000),
  )
  t.equal(round(900), 900, 'another by a whole step')
  t.equal(round(999), 900)
  t.equal(round(1_000), 1_000)
  t.equal(round(999), 1_000, 'and not to and fro')
})
