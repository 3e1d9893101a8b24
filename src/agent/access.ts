/**
 * Who may do what, put together: tokens, audit and vault on the open state, and the doors of the two ports. Whoever needs the audit or
 * the vault gets it from here, through agent.ts.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { Audit } from '../access/audit.ts'
import { Denials } from '../access/denials.ts'
import { LoginLimit } from '../access/login-limit.ts'
import { Passes } from '../access/passes.ts'
import { Tokens } from '../access/tokens.ts'
import { Vault } from '../access/vault.ts'
import type { Config } from '../config.ts'
import { Logins } from '../http/access/logins.ts'
import { RegistryGate } from '../http/access/registry-access.ts'
import { ApiAccess } from '../http/api/access.ts'
import type { RegistryWrite } from '../http/registry/write-side.ts'
import type { State } from '../state/database.ts'

const pruneEveryMs = 60 * 60_000

export interface AccessOptions {
  readonly state: State
  readonly logger: Logger
  readonly env?: NodeJS.ProcessEnv
}

/** Wrong tokens from one address that are answered 401 before it has to wait: a misconfigured client learns what is wrong first. */
const freeFailures = 30

export class Access {
  readonly audit: Audit
  readonly vault: Vault
  readonly tokens: Tokens
  /** The API's door. */
  readonly api: ApiAccess
  /** The registry's door; undefined where the registry is not ours. */
  readonly registry: RegistryGate | undefined
  readonly #denials: Denials
  readonly #stateDir: string
  readonly #logger: Logger
  #pruning: NodeJS.Timeout | undefined

  constructor(config: Config, { state, logger, env = process.env }: AccessOptions) {
    const { agent, access, registry } = config
    this.#stateDir = agent.stateDir
    this.#logger = logger
    this.audit = new Audit({ state, logger, maxRecords: access.auditRecords, maxAgeMs: access.auditAgeMs })
    this.vault = new Vault({ state, logger, ...findKeyFile(config, env) })
    this.tokens = new Tokens({ state, logger, audit: this.audit })
    this.#denials = new Denials({ audit: this.audit, logger })
    const logins = new Logins({
      tokens: this.tokens,
      limit: new LoginLimit({ free: freeFailures }),
      denials: this.#denials,
    })
    this.api = new ApiAccess({ logins, audit: this.audit })
    if (registry.kind === 'external') return
    const { anonymousPull, push } = registry
    this.registry = new RegistryGate({ logins, passes: new Passes({ tokens: this.tokens }), anonymousPull, push })
  }

  /**
   * Reads the vault's keys, and on the first start writes the admin token, before anything listens.
   * @throws AccessError where the vault's keys can't be used; what the file system says where a file can't be written.
   */
  async start(): Promise<void> {
    await this.vault.start()
    await this.tokens.ensureAdminToken(this.#stateDir)
    this.audit.prune()
    this.#pruning = setInterval(() => this.#prune(), pruneEveryMs).unref()
    this.#denials.start()
  }

  stop(): void {
    clearInterval(this.#pruning)
    this.#denials.stop()
  }

  /** Puts on record what a client has changed in the registry. */
  readonly recordWrite = ({ action, caller, from, repository, object, reference }: RegistryWrite): void => {
    this.audit.record({
      who: caller ?? 'anonymous',
      from,
      action: `registry:${action}`,
      object: { kind: 'Registry', name: repository },
      outcome: 'success',
      detail: { repository, ...(object === 'tag' ? { tag: reference } : { digest: reference }) },
    })
  }

  #prune(): void {
    try {
      this.audit.prune()
    } catch (error) {
      this.#logger.error({ err: error }, 'old records of the audit could not be removed')
    }
  }
}

/** The key of the configuration, else systemd's credential, else one of the agent's own. systemd.exec(5), LoadCredential. */
function findKeyFile({ access, agent }: Config, env: NodeJS.ProcessEnv): { keyFile: string; managed: boolean } {
  if (access.vaultKeyFile !== undefined) return { keyFile: access.vaultKeyFile, managed: false }
  const credential = env.CREDENTIALS_DIRECTORY && join(env.CREDENTIALS_DIRECTORY, 'vault-key')
  if (credential && existsSync(credential)) return { keyFile: credential, managed: false }
  return { keyFile: join(agent.stateDir, 'vault-key'), managed: true }
}
