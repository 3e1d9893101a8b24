/** Who may pass: asked by every route of image management before it does anything. Contract, "Roles". */
import type { FastifyRequest } from 'fastify'
import { allows, type Caller, namespacesOf, type Right } from '../../access/roles.ts'
import type { By } from '../../access/tokens.ts'
import type { AccessFace } from './face.ts'
import type { Resource } from './resources.ts'
import { StatusError } from './status.ts'

/** A right that a call takes beside that in its own namespace, since what it does reaches into another. */
export interface Need {
  readonly right: Right
  readonly resource: Resource
  readonly namespace: string
  readonly name: string
}

export class Gate {
  readonly #access: AccessFace

  constructor(access: AccessFace) {
    this.#access = access
  }

  /** Who calls, and from where. @throws StatusError 401 without a token, 403 that names the missing right and the namespace. */
  enter(request: FastifyRequest, right: Right, object: { resource: Resource; namespace: string; name?: string }): By {
    const caller = this.#callerOf(request)
    const { resource, namespace, name } = object
    if (allows(caller, right, namespace)) return { who: caller.name, from: request.ip }
    this.#access.denied(request, right, { kind: resource.kind, namespace, name: name ?? '' })
    throw new StatusError(
      403,
      `"${caller.name}" may not do this: the right ${right} is missing in namespace "${namespace}"`,
      { kind: resource.singular, name },
    )
  }

  /** The same for all that a call reaches. */
  enterAll(request: FastifyRequest, needs: readonly Need[]): void {
    for (const { right, ...object } of needs) this.enter(request, right, object)
  }

  /** The namespaces that a list over all of them shows. @throws StatusError 401; 403 where there is not one. */
  visible(request: FastifyRequest, right: Right, resource: Resource): readonly string[] | 'all' {
    const caller = this.#callerOf(request)
    const namespaces = namespacesOf(caller, right)
    if (namespaces === 'all' || namespaces.length > 0) return namespaces
    this.#access.denied(request, right, { kind: resource.kind, name: '' })
    throw new StatusError(403, `"${caller.name}" may not do this: the right ${right} is missing in every namespace`, {
      kind: resource.singular,
    })
  }

  #callerOf(request: FastifyRequest): Caller {
    const caller = this.#access.callerOf(request)
    if (caller) return caller
    throw new StatusError(401, 'this call needs a token: send "Authorization: Bearer <token>"')
  }
}
