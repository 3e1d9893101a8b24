/**
 * `GET /token`: where the challenge of a 401 sends docker and containerd. What comes of it stands beside the registry's own paths, on its
 * port. https://distribution.github.io/distribution/spec/auth/token/
 */
import type { FastifyInstance } from 'fastify'
import { factsOf, refuse } from './admission.ts'
import type { AccessDecision, RequestFacts } from './authorize.ts'

/** What the token service answers: a pass in place of credentials, or why not. */
export type PassAnswer =
  | { readonly outcome: 'pass'; readonly pass: string; readonly expiresInSeconds: number }
  | Exclude<AccessDecision, { outcome: 'allow' }>

export type IssuePass = (request: RequestFacts) => Promise<PassAnswer>

/** Adds the token service. What a client says about service and scope is not needed: rights are asked for at every use. */
export function addTokenRoute(app: FastifyInstance, issue: IssuePass): void {
  app.get('/token', async (request, reply) => {
    const answer = await issue(factsOf(request))
    if (answer.outcome !== 'pass') throw refuse(answer, {})
    const { pass, expiresInSeconds } = answer
    reply.header('cache-control', 'no-store')
    // Docker reads `token`, clients of OAuth 2 `access_token`.
    return reply.send({
      token: pass,
      access_token: pass,
      expires_in: expiresInSeconds,
      issued_at: new Date().toISOString(),
    })
  })
}
