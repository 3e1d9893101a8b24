import t from 'tap'
import { matchesLabels, parseLabelSelector } from '../../src/management/label-selector.ts'

const shelf = {
  web: { team: 'web', tier: 'front' },
  shop: { team: 'shop', tier: 'back', old: '' },
  bare: {},
}

function chosen(selector: string): string[] | undefined {
  const conditions = parseLabelSelector(selector)
  return (
    conditions && Object.entries(shelf).flatMap(([name, labels]) => (matchesLabels(labels, conditions) ? [name] : []))
  )
}

t.test('what kubectl takes', async t => {
  const cases: Record<string, string[]> = {
    'team=web': ['web'],
    'team==web , tier = front': ['web'],
    'team=web,tier=back': [],
    'team!=web': ['shop', 'bare'],
    'team in (web, shop)': ['web', 'shop'],
    'team in (web,shop),tier notin (front)': ['shop'],
    'team notin (web,shop)': ['bare'],
    team: ['web', 'shop'],
    '!team': ['bare'],
    'team,!old': ['web'],
    'old=': ['shop'],
    'old in ()': ['shop'],
    toString: [],
  }
  for (const [selector, names] of Object.entries(cases)) t.same(chosen(selector), names, selector)
})

t.test('what is no selector', async t => {
  const wrong = ['', ',', 'a=b,', 'a>1', 'a in b', 'a in (b', 'in (a)', 'a b', '!a=b', '=b', 'a=b=c', 'a in (b) c']
  for (const selector of wrong) t.equal(chosen(selector), undefined, selector)
})
