/** Runs the examples of docs/plans.md: what is told to those who write the MECM side is what the agent takes and says. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Value } from 'typebox/value'
import { parsePlatform } from '../src/oci/platform.ts'
import { readPlan } from '../src/plans/plan.ts'
import { PlanProgressSchema, PlanStatusSchema } from '../src/plans/status.ts'

const text = readFileSync(join(import.meta.dirname, '../docs/plans.md'), 'utf8')

function examples(language: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'))].map(match => match[1] ?? '')
}

t.test('every plan of the reference is taken', async t => {
  const plans = examples('yaml')
  t.equal(plans.length, 3)
  for (const plan of plans) {
    const reading = readPlan(Buffer.from(plan), { platforms: [parsePlatform('linux/amd64')] })
    t.equal(reading.kind, 'plan', reading.kind === 'refused' ? reading.problems.join('; ') : plan.slice(0, 200))
  }
})

t.test('the status and the progress of the reference have the form that is sent', async t => {
  const [status, progress, state] = examples('json').map(example => JSON.parse(example))
  t.same([...Value.Errors(PlanStatusSchema, status)], [])
  t.same([...Value.Errors(PlanProgressSchema, progress)], [])
  t.match(state, { edge: 'sh-01', online: true })
})
