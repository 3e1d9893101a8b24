/**
 * The one form of an error under `/oapis`: Kubernetes' Status, with what every client of that API already reads.
 * Image management contract, "Calls". Everything thrown below these routes passes through {@link toStatus}.
 */
import { type Static, Type } from 'typebox'

const apiVersion = 'image.theriseunion.io/v1alpha1'

const reasons = {
  400: 'Invalid',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  500: 'InternalError',
  502: 'BadGateway',
  503: 'ServiceUnavailable',
  504: 'Timeout',
} as const

export const StatusSchema = Type.Object(
  {
    apiVersion: Type.Literal(apiVersion),
    kind: Type.Literal('Status'),
    metadata: Type.Object({}),
    status: Type.Literal('Failure'),
    message: Type.String(),
    reason: Type.String({ description: 'A word that says what kind of error it is' }),
    details: Type.Object({
      name: Type.Optional(Type.String()),
      kind: Type.Optional(Type.String({ description: 'The singular of the path: registry-secret, repository, …' })),
      causes: Type.Optional(
        Type.Array(Type.Object({ field: Type.String(), reason: Type.String(), message: Type.String() }), {
          description: 'Every wrong field, where fields are wrong',
        }),
      ),
    }),
    code: Type.Integer({ description: 'The HTTP status, again' }),
  },
  { title: 'Status' },
)
export type StatusBody = Static<typeof StatusSchema>

/** What an error is about: the contract's `details`. */
export interface StatusDetails {
  readonly name?: string | undefined
  readonly kind?: string | undefined
}

export interface StatusOptions extends StatusDetails {
  /** In place of the usual word for the code. */
  readonly reason?: string
  /** Every wrong field: `spec.domain: expected …`. */
  readonly problems?: readonly string[]
}

/** A request that is answered with a Status. */
export class StatusError extends Error {
  override readonly name = 'StatusError'
  readonly code: number
  readonly options: StatusOptions

  constructor(code: number, message: string, options: StatusOptions = {}) {
    super(message)
    this.code = code
    this.options = options
  }

  /** The same, about this object where it doesn't say about which. */
  about({ kind, name }: StatusDetails): StatusError {
    const own = this.options
    if (own.kind !== undefined && (own.kind !== kind || own.name !== undefined)) return this
    return new StatusError(this.code, this.message, { ...own, kind, name: own.name ?? name })
  }

  get body(): StatusBody {
    const { name, kind, reason = reasonOf(this.code), problems = [] } = this.options
    return {
      apiVersion,
      kind: 'Status',
      metadata: {},
      status: 'Failure',
      message: this.message,
      reason,
      details: {
        ...(name === undefined ? {} : { name }),
        ...(kind === undefined ? {} : { kind }),
        ...(problems.length === 0 ? {} : { causes: problems.map(toCause) }),
      },
      code: this.code,
    }
  }
}

/** `spec.domain: expected host[:port]` as Kubernetes lists it. */
function toCause(problem: string) {
  const colon = problem.indexOf(': ')
  const [field, message] = colon < 0 ? ['', problem] : [problem.slice(0, colon), problem.slice(colon + 2)]
  return { field, reason: /^(missing|is required)/.test(message) ? 'FieldValueRequired' : 'FieldValueInvalid', message }
}

function reasonOf(code: number): string {
  const known: Readonly<Record<number, string>> = reasons
  return known[code] ?? (code < 500 ? 'BadRequest' : 'InternalError')
}
