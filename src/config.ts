/**
 * The configuration: defaults, then the file, then the environment, as one validated and frozen {@link Config}.
 * Contract: docs/configuration.md. Only main, cli and agent see it; a room gets plain options. The schema is config/schema.ts.
 */
import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import { buildConfig, type CompleteDocument, completeDocument, freeze } from './config/build.ts'
import { type ConfigProblem, checkValue, formatKey, isMapping, type Report } from './config/check.ts'
import { readEnvironment } from './config/environment.ts'
import { readConfigFile } from './config/file.ts'
import { checkFiles, checkSecrets, whyNoKey } from './config/files.ts'
import {
  type DiskMark,
  formatListen,
  isLoopback,
  type ListenAddress,
  parseDiskMark,
  parseListen,
  parseUpstreamHost,
  type UpstreamMirror,
} from './config/forms.ts'
import { overlay, resolvePaths } from './config/layers.ts'
import { type ConfigDocument, ConfigSchema } from './config/schema.ts'
import { checkTransfer, type TransferConfig } from './config/transfer.ts'
import type { Platform } from './oci/platform.ts'
import { Shape } from './oci/shape.ts'

/** Where the configuration is looked for when no file is named. */
export const defaultConfigFile = '/etc/edge-image-agent/agent.config.yaml'

export { defaultStateDir } from './config/forms.ts'

/** How to reach one registry over HTTP. */
export interface RegistryAccess {
  /** `host[:port]`, lower case; `docker.io` for Docker Hub. */
  readonly host: string
  readonly plainHttp: boolean
  readonly insecureSkipVerify: boolean
  readonly caFile?: string
  readonly username?: string
  readonly password?: string
}

/** PEM files of a server. */
export interface TlsConfig {
  readonly certFile: string
  readonly keyFile: string
}

export interface EmbeddedRegistryConfig {
  readonly kind: 'embedded'
  readonly listen: ListenAddress
  /** `host[:port]` that MECM is told; undefined while the port is the system's choice (`listen` with port 0). */
  readonly advertise?: string
  readonly tls?: TlsConfig
  readonly storageDir: string
  readonly push: boolean
  readonly anonymousPull: boolean
}

export interface ExternalRegistryConfig extends RegistryAccess {
  readonly kind: 'external'
  readonly sparseIndexes: 'complete' | 'platform' | 'fail'
}

export interface UpstreamConfig extends RegistryAccess {
  readonly mirrors: readonly UpstreamMirror[]
}

export interface MqttConfig {
  readonly url: string
  readonly prefix: string
  readonly username?: string
  readonly password?: string
  readonly caFile?: string
  readonly certFile?: string
  readonly keyFile?: string
  readonly sessionExpiryMs: number
  /** Of the link's rate, 0 to 1. */
  readonly progressShare: number
}

export interface Config {
  readonly agent: {
    readonly id: string
    readonly groups: readonly string[]
    readonly platforms: readonly Platform[]
    readonly stateDir: string
  }
  readonly registry: EmbeddedRegistryConfig | ExternalRegistryConfig
  readonly upstreams: readonly UpstreamConfig[]
  readonly dockerConfig?: string
  readonly mqtt?: MqttConfig
  readonly transfer: TransferConfig
  readonly api: { readonly listen: ListenAddress; readonly tls?: TlsConfig; readonly allowInsecure: boolean }
  readonly management: {
    /** Absolute paths of modules. */
    readonly providers: readonly string[]
    readonly verifyIntervalMs: number
    /** At once. */
    readonly syncs: number
    /** Of the embedded registry's disk. */
    readonly disk: { readonly high: DiskMark; readonly low: DiskMark }
    readonly scrub: { readonly bytesPerSecond: number; readonly everyMs: number }
  }
  readonly access: {
    /** Without it the agent looks for a systemd credential, else it keeps a key of its own. */
    readonly vaultKeyFile?: string
    readonly auditRecords: number
    readonly auditAgeMs: number
  }
  readonly documents: { readonly dir?: string }
  /** Texts of the key files, checked. */
  readonly plans: { readonly trustedKeys: readonly string[] }
  readonly log: { readonly level: ConfigDocument['log']['level'] }
}

export interface LoadedConfig {
  readonly config: Config
  /** The same as a file would write it, with every default filled in. Holds secrets: print it through config/show.ts. */
  readonly document: CompleteDocument
  /** The file it came from, if any. */
  readonly file: string | undefined
  /** What is allowed but should be known, one sentence each. */
  readonly warnings: readonly string[]
}

/** Everything that is wrong with a configuration. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly file: string | undefined
  readonly problems: readonly ConfigProblem[]

  constructor(file: string | undefined, problems: readonly ConfigProblem[]) {
    const lines = problems.map(({ key, message, line }) =>
      [line === undefined ? '' : `line ${line}: `, key, key === '' ? '' : ': ', message].join(''),
    )
    super(`${file ?? 'the configuration'} is not valid:\n${lines.map(line => `  ${line}`).join('\n')}`)
    this.file = file
    this.problems = problems
  }
}

export interface LoadOptions {
  /** Must be there; without it {@link defaultConfigFile} is read if it is there. */
  readonly file?: string
  readonly env?: NodeJS.ProcessEnv
}

/** Reads, checks and freezes the configuration. @throws ConfigError with every problem at once. */
export function loadConfig(options: LoadOptions = {}): LoadedConfig {
  const file = options.file ?? findDefaultFile()
  const fromFile = file === undefined ? undefined : readConfigFile(file)
  const fromEnvironment = readEnvironment(options.env ?? process.env)
  const problems: ConfigProblem[] = [...(fromFile?.problems ?? []), ...fromEnvironment.problems]
  if (problems.length > 0) throw new ConfigError(file, problems)

  const report: Report = (path, message) => {
    const variable = fromEnvironment.variableOf(path)
    const line = variable === undefined ? fromFile?.lineOf(path) : undefined
    const suffix = variable === undefined ? '' : ` (from ${variable})`
    problems.push({ key: formatKey(path), message: message + suffix, ...(line === undefined ? {} : { line }) })
  }
  const given = overlay(
    resolvePaths(ConfigSchema, fromFile?.values ?? {}, dirname(file ?? '.')),
    resolvePaths(ConfigSchema, fromEnvironment.values, '.'),
  )
  const checked = checkValue(ConfigSchema, given, [], report)
  checkFiles(ConfigSchema, given, [], report)
  checkSecrets(ConfigSchema, given, [], report)
  // What was wrong is left out or at its default by now, so that the rules between keys can be told in the same breath.
  const formed = shape.check(checked)
  checkLocalRegistry(given, report)
  if (formed) checkRules(checked, report)
  if (problems.length > 0 || !formed) throw new ConfigError(file, problems)

  const document = freeze(completeDocument(checked))
  const config = freeze(buildConfig(document))
  return { config, document, file, warnings: [...fromEnvironment.warnings, ...warningsOf(config)] }
}

const shape = new Shape(ConfigSchema)

/** A file that is there but hidden from this user counts as there: it is told that it can't be read, not passed over. */
function findDefaultFile(): string | undefined {
  try {
    return statSync(defaultConfigFile, { throwIfNoEntry: false }) === undefined ? undefined : defaultConfigFile
  } catch {
    return defaultConfigFile
  }
}

function checkLocalRegistry(given: unknown, report: Report): void {
  const registry = isMapping(given) ? given.registry : undefined
  if (!isMapping(registry)) return
  const both = isMapping(registry.embedded) && isMapping(registry.external)
  if (both) report(['registry', 'external'], 'stands beside registry.embedded: keep one of the two')
}

/** The rules between keys, and what this version can't do yet: better refused than ignored. */
function checkRules(document: ConfigDocument, report: Report): void {
  if (document.agent.platforms?.length === 0) {
    report(['agent', 'platforms'], "is empty: name at least one platform, or leave it out for this machine's")
  }
  checkTransfer(document.transfer, report)
  const { api } = document
  if (!isLoopback(parseListen(api.listen)?.host ?? '') && api.tls === undefined && !api.allowInsecure) {
    report(
      ['api', 'listen'],
      `${api.listen} is reached from elsewhere, and tokens would cross the network in the clear: set api.tls, or listen on 127.0.0.1, or say api.allowInsecure: true`,
    )
  }
  const { high, low } = document.management.disk
  if (!isBelow(parseDiskMark(low), parseDiskMark(high))) {
    report(
      ['management', 'disk', 'low'],
      `${low} is not below management.disk.high (${high}), in the same unit: both in % or both a size`,
    )
  }
  for (const [at, file] of document.plans.trustedKeys.entries()) {
    const problem = whyNoKey(file)
    if (problem !== undefined) report(['plans', 'trustedKeys', at], `${file}: ${problem}`)
  }
  if (document.mqtt && (document.mqtt.certFile === undefined) !== (document.mqtt.keyFile === undefined)) {
    report(['mqtt'], 'certFile and keyFile belong together: one of them is missing')
  }
  const hosts = new Map<string, number>()
  for (const [at, { host }] of document.upstreams.entries()) {
    const name = parseUpstreamHost(host) ?? host
    const first = hosts.get(name)
    if (first !== undefined) report(['upstreams', at, 'host'], `"${host}" stands in upstreams[${first}] already`)
    else hosts.set(name, at)
  }
}

function isBelow(low: DiskMark | undefined, high: DiskMark | undefined): boolean {
  if (low === undefined || high === undefined) return false
  if ('share' in low) return 'share' in high && low.share < high.share
  return 'bytes' in high && low.bytes < high.bytes
}

/** What is allowed but should be known. */
function warningsOf(config: Config): string[] {
  const { api, registry } = config
  const warnings: string[] = []
  const apiListen = formatListen(api.listen)
  if (!isLoopback(api.listen.host) && api.tls === undefined) {
    warnings.push(`api.listen is ${apiListen} without TLS: whoever is on the line can read tokens`)
  }
  if (registry.kind === 'embedded' && registry.tls === undefined && (registry.push || !registry.anonymousPull)) {
    const listen = formatListen(registry.listen)
    if (!isLoopback(registry.listen.host))
      warnings.push(
        `registry.embedded listens on ${listen} without TLS and takes tokens: whoever is on the line can read them`,
      )
  }
  for (const { host: upstream, insecureSkipVerify } of config.upstreams) {
    if (insecureSkipVerify) warnings.push(`any certificate is taken for ${upstream} (insecureSkipVerify)`)
  }
  return warnings
}
