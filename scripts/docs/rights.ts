/** The table of rights in docs/access.md, made from the code. */
import { type Role, rights, rightsOf, roles } from '../../src/access/roles.ts'

/** One row a right: what it allows, and the roles that have it. */
export function rightsTable(): string {
  const short = (role: Role) => role.replace('image-', '')
  const head = ['right', 'allows to', ...roles.map(short)]
  const rows = Object.entries(rights).map(([right, { allows }]) => [
    `\`${right}\``,
    allows,
    ...roles.map(role => (rightsOf(role).some(one => one === right) ? 'yes' : '')),
  ])
  return [head, head.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n')
}
