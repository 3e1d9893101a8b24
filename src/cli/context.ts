/** What every command is given: where to write, the environment, and the agent to run. */
import { type LoadedConfig, loadConfig } from '../config.ts'
import type { Terminal } from './terminal.ts'

export interface CommandContext {
  readonly terminal: Terminal
  readonly env: NodeJS.ProcessEnv
  readonly version: string
  /** Loaded only by the commands that need it: it opens a database library, which takes longer than `status` does. */
  agent(): Promise<AgentModule>
}

/** The part of src/agent.ts that commands use. */
export type AgentModule = Pick<typeof import('../agent.ts'), 'createAgent' | 'createTokenOffline' | 'pullImages'>

/** Loads the configuration; warnings go to standard error. @throws ConfigError. */
export function loadConfigFor(context: CommandContext, file: string | undefined): LoadedConfig {
  const loaded = loadConfig({ env: context.env, ...(file === undefined ? {} : { file }) })
  for (const warning of loaded.warnings) context.terminal.note(`warning: ${warning}`)
  return loaded
}
