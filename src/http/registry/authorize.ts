/**
 * Who may pull, push and delete: the question that app.ts asks before a request does anything, and the answer's forms. The composition
 * root supplies the function that knows tokens and roles; this room knows neither.
 */

export type RegistryAction = 'pull' | 'push' | 'delete'

/** What a request wants to do. Without a repository: the base (`/v2/`) and the catalog. */
export interface RegistryAccess {
  readonly action: RegistryAction
  readonly repository?: string
  /** The base, where clients find out how to log in. */
  readonly base?: boolean
}

/** What is known of who asks. */
export interface RequestFacts {
  /** The `Authorization` header as it came: a secret, for this decision alone. */
  readonly authorization: string | undefined
  readonly remoteAddress: string
  /** The registry as the client calls it, `http(s)://host:port`: what a challenge's realm is built on. */
  readonly origin: string
}

/**
 * `challenge` is answered with 401 and these words in `WWW-Authenticate`; `deny` with 403, its message naming the right that is
 * missing; `limit` with 429, when failed logins came too often.
 */
export type AccessDecision =
  | { readonly outcome: 'allow' /** Who it is, for the record. */; readonly caller?: string }
  | { readonly outcome: 'challenge'; readonly wwwAuthenticate: string; readonly message: string }
  | { readonly outcome: 'deny'; readonly message: string }
  | { readonly outcome: 'limit'; readonly retryAfterSeconds: number; readonly message: string }

/** Decides one access. A cross-repository mount asks twice: to push here, and to pull from there. Never throws for bad credentials. */
export type Authorize = (request: RequestFacts, access: RegistryAccess) => Promise<AccessDecision>

/** Without access control: anyone pulls, nobody writes. */
export const pullOnly: Authorize = async (_request, { action }) =>
  action === 'pull'
    ? { outcome: 'allow' }
    : { outcome: 'deny', message: `nobody may ${action} here: no access control is set up` }

/** For tests, and for a registry that only its own machine reaches: anyone may do anything. */
export const allowEverything: Authorize = async () => ({ outcome: 'allow' })
