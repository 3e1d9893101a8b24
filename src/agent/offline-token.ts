/** A token made without a running agent: the way back in where no valid one is left. Used by the command `token create --offline`. */
import type { Logger } from 'pino'
import { Audit } from '../access/audit.ts'
import { type NewToken, Tokens } from '../access/tokens.ts'
import type { Config } from '../config.ts'
import { openState } from '../state/database.ts'

/**
 * Makes a token in the configured state folder. Whoever may write that folder may do anything with the agent already.
 * @throws StateError while an agent runs on the folder; AccessError.
 */
export function createTokenOffline(config: Config, wanted: NewToken, options: { readonly logger: Logger }) {
  const state = openState(config.agent.stateDir, options)
  try {
    const audit = new Audit({ state, ...options })
    return new Tokens({ state, audit, ...options }).create(wanted, { who: 'offline' })
  } finally {
    state.close()
  }
}
