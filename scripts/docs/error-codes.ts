/** The README's table of error codes, made from the closed list. Used by scripts/write-docs.ts. */
import { errorCodes } from '../../src/oci/errors.ts'

/** One row a code: whether another try can help, and what to do. */
export function errorCodeTable(): string {
  const rows = Object.entries(errorCodes).map(([code, { retry, hint }]) => `| \`${code}\` | ${retry} | ${hint} |`)
  return ['| code | | what to do |', '|---|---|---|', ...rows].join('\n')
}
