/**
 * Conditions on labels as kubectl's `-l` takes them: `team=web,tier in (front,back),!old`. Used by the lists of http/ and cli/.
 * https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
 */
import type { LabelCondition } from '../state/managed-objects.ts'
import type { Texts } from './objects.ts'

/** What a right one looks like, for messages. */
export const labelSelectorForm =
  'conditions on labels: key=value, key!=value, key in (a,b), key notin (a,b), key, !key, with commas between them'

const key = '([^=!<>,()\\s]+)'
const value = '([^=!<>,()\\s]*)'
const equality = new RegExp(`^${key}\\s*(==?|!=)\\s*${value}$`)
const oneOf = new RegExp(`^${key}\\s+(in|notin)\\s*\\(([^=!<>()]*)\\)$`)
const existence = new RegExp(`^(!?)\\s*${key}$`)

/** All of them must hold; undefined for a text that is no selector. */
export function parseLabelSelector(text: string): readonly LabelCondition[] | undefined {
  const conditions: LabelCondition[] = []
  for (const part of text.split(/,(?![^(]*\))/)) {
    const condition = parseCondition(part.trim())
    if (condition === undefined) return undefined
    conditions.push(condition)
  }
  return conditions
}

/** Whether an object with these labels is meant. */
export function matchesLabels(labels: Texts, conditions: readonly LabelCondition[]): boolean {
  return conditions.every(({ key, values, negated }) => {
    const own = Object.hasOwn(labels, key) ? labels[key] : undefined
    return (own !== undefined && (values?.includes(own) ?? true)) !== negated
  })
}

/** What is negated holds for objects without the label, too, as Kubernetes has it. */
function parseCondition(part: string): LabelCondition | undefined {
  const [, left, operator, right] = equality.exec(part) ?? oneOf.exec(part) ?? []
  if (left !== undefined && operator !== undefined && right !== undefined) {
    const values = operator.endsWith('in') ? right.split(',').map(one => one.trim()) : [right]
    return { key: left, values, negated: operator === '!=' || operator === 'notin' }
  }
  const [, not, only] = existence.exec(part) ?? []
  return only === undefined ? undefined : { key: only, negated: not === '!' }
}
