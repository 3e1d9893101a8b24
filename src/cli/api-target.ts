/**
 * Which agent a command talks to, and what it shows there: address and token from the flags, the environment, or the configuration of this
 * machine's agent. Used by api-command.ts.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatListen, isLoopback } from '../config/forms.ts'
import { type Config, ConfigError, defaultStateDir, loadConfig } from '../config.ts'
import { CliError } from './cli-error.ts'
import type { CommandContext } from './context.ts'

export interface TargetFlags {
  readonly api?: string
  readonly token?: string
  /** The configuration of the agent on this machine. */
  readonly config?: string
}

export interface ApiTarget {
  readonly address: string
  readonly token: string | undefined
  /** What to do where the token is missing or not taken. */
  readonly tokenHint: string
  /** PEM: the certificate of the agent on this machine, taken for whatever name it is reached by. */
  readonly certificate?: string
}

const fallback = 'http://127.0.0.1:8080'

/** @throws ConfigError where a configuration is named and is not valid; CliError where no address can be made of it. */
export function findTarget(context: CommandContext, flags: TargetFlags): ApiTarget {
  const config = readConfig(context, flags.config)
  const named = flags.api ?? (context.env.EDGE_IMAGE_AGENT_API || undefined)
  if (named === undefined && config === undefined) {
    context.terminal.note(`warning: the configuration can not be used to find the agent; trying ${fallback}`)
  }
  const own = config && ownAddress(config)
  const address = named ?? own ?? fallback
  const here = address === own || isOnThisMachine(address)
  const certificate = config && address === own ? readCertificate(config) : undefined
  return { address, ...findToken(context, flags, config, here), ...(certificate === undefined ? {} : { certificate }) }
}

/** Secrets may be readable for the agent's user alone; asking for a status must work all the same. */
function readConfig({ env }: CommandContext, file: string | undefined): Config | undefined {
  try {
    return loadConfig({ env, ...(file === undefined ? {} : { file }) }).config
  } catch (error) {
    if (error instanceof ConfigError && file === undefined) return undefined
    throw error
  }
}

/** The file's token is for this machine's agent alone: any other address might be anybody's. */
function findToken(context: CommandContext, flags: TargetFlags, config: Config | undefined, here: boolean) {
  const given = flags.token ?? (context.env.EDGE_IMAGE_AGENT_TOKEN || undefined)
  const ways = 'give one by --token or EDGE_IMAGE_AGENT_TOKEN'
  if (given !== undefined)
    return { token: given.trim(), tokenHint: 'the token that was given is not taken: see token list' }
  if (!here) return { token: undefined, tokenHint: ways }
  const file = join(config?.agent.stateDir ?? defaultStateDir, 'admin-token')
  try {
    const token = readFileSync(file, 'utf8').trim()
    return { token, tokenHint: `the token in ${file} is not taken; ${ways}` }
  } catch (error) {
    const denied = error instanceof Error && 'code' in error && error.code === 'EACCES'
    const why = denied ? `only the agent's user may read ${file}` : `there is no ${file}`
    return { token: undefined, tokenHint: `${why}: ${ways}, or name the agent's configuration by --config` }
  }
}

function ownAddress({ api }: Config): string {
  const { host, port } = api.listen
  const everywhere = host === '0.0.0.0' || host === '::'
  return `${api.tls ? 'https' : 'http'}://${formatListen({ host: everywhere ? '127.0.0.1' : host, port })}`
}

function isOnThisMachine(address: string): boolean {
  return URL.canParse(address) && isLoopback(new URL(address).hostname.replace(/^\[|\]$/g, ''))
}

function readCertificate({ api }: Config): string | undefined {
  if (!api.tls) return undefined
  try {
    const [first] = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(
      readFileSync(api.tls.certFile, 'utf8'),
    ) ?? [undefined]
    return first
  } catch (error) {
    throw new CliError(`the certificate of api.tls can not be read: ${String(error)}`, { cause: error })
  }
}
