/** From a checked document to the {@link Config} that the program works with: texts parsed, secrets read. Used by config.ts. */
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type {
  Config,
  EmbeddedRegistryConfig,
  ExternalRegistryConfig,
  MqttConfig,
  RegistryAccess,
  UpstreamConfig,
} from '../config.ts'
import { parsePlatform } from '../oci/platform.ts'
import { parseDuration, parseRate } from '../oci/quantities.ts'
import { readSecret } from './files.ts'
import {
  defaultId,
  defaultPlatforms,
  formatListen,
  type ListenAddress,
  parseDiskMark,
  parseListen,
  parseMirror,
  parseShare,
  parseUpstreamHost,
} from './forms.ts'
import type { ConfigDocument } from './schema.ts'
import { buildTransfer } from './transfer.ts'

type EmbeddedDocument = ConfigDocument['registry']['embedded']
type ExternalDocument = NonNullable<ConfigDocument['registry']['external']>

/** A document in which every default stands, and one of the two local registries. */
export type CompleteDocument = Omit<ConfigDocument, 'agent' | 'registry'> & {
  readonly agent: Required<ConfigDocument['agent']>
  readonly registry:
    | { readonly embedded: EmbeddedDocument & { readonly storageDir: string }; readonly external?: undefined }
    | { readonly external: ExternalDocument; readonly embedded?: undefined }
}

/** The document with the defaults that depend on the machine or on other keys. */
export function completeDocument(document: ConfigDocument): CompleteDocument {
  const { id, groups, platforms, stateDir } = document.agent
  const { external, embedded } = document.registry
  return {
    ...document,
    agent: { id: id ?? defaultId(), groups, platforms: platforms ?? defaultPlatforms(), stateDir },
    registry: external ? { external } : { embedded: completeEmbedded(embedded, stateDir) },
  }
}

function completeEmbedded(embedded: EmbeddedDocument, stateDir: string) {
  const advertise = embedded.advertise ?? defaultAdvertise(listenOf(embedded.listen))
  return {
    ...embedded,
    ...(advertise === undefined ? {} : { advertise }),
    storageDir: embedded.storageDir ?? join(stateDir, 'registry'),
  }
}

/** Nothing while the port is the system's choice. Who listens on one address is not reached by the host name for sure. */
function defaultAdvertise({ host, port }: ListenAddress): string | undefined {
  if (port === 0) return undefined
  const everywhere = host === '0.0.0.0' || host === '::'
  return formatListen({ host: everywhere ? hostname().toLowerCase() : host, port })
}

/** The parsed form of a complete document. Reads the files of secrets. */
export function buildConfig(document: CompleteDocument): Config {
  const { agent, registry, mqtt, dockerConfig, transfer, log } = document
  return {
    agent: { ...agent, platforms: agent.platforms.map(parsePlatform) },
    registry: registry.external ? buildExternal(registry.external) : buildEmbedded(registry.embedded),
    upstreams: document.upstreams.map(buildUpstream),
    ...(dockerConfig === undefined ? {} : { dockerConfig }),
    ...(mqtt === undefined ? {} : { mqtt: buildMqtt(mqtt) }),
    transfer: buildTransfer(transfer),
    api: buildApi(document.api),
    management: buildManagement(document.management),
    documents: document.documents,
    plans: { trustedKeys: document.plans.trustedKeys.map(file => readFileSync(file, 'utf8')) },
    access: buildAccessControl(document.access),
    log: { level: log.level },
  }
}

function buildEmbedded(embedded: EmbeddedDocument & { readonly storageDir: string }): EmbeddedRegistryConfig {
  const { listen, advertise, tls, push, anonymousPull, storageDir } = embedded
  return {
    kind: 'embedded',
    listen: listenOf(listen),
    storageDir,
    push,
    anonymousPull,
    ...(advertise === undefined ? {} : { advertise }),
    ...(tls === undefined ? {} : { tls }),
  }
}

function buildExternal(external: ExternalDocument): ExternalRegistryConfig {
  const { protocol, host } = new URL(external.url)
  const { sparseIndexes } = external
  return { kind: 'external', ...buildAccess({ ...external, host, plainHttp: protocol === 'http:' }), sparseIndexes }
}

function buildUpstream(upstream: ConfigDocument['upstreams'][number]): UpstreamConfig {
  const host = parsed(upstream.host, parseUpstreamHost)
  return { ...buildAccess({ ...upstream, host }), mirrors: upstream.mirrors.map(one => parsed(one, parseMirror)) }
}

function buildAccess(given: RegistryAccess & { readonly passwordFile?: string }): RegistryAccess {
  const { host, plainHttp, insecureSkipVerify, caFile, username } = given
  const password = readSecret(given.password, given.passwordFile)
  return {
    host,
    plainHttp,
    insecureSkipVerify,
    ...(caFile === undefined ? {} : { caFile }),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  }
}

function buildMqtt(mqtt: NonNullable<ConfigDocument['mqtt']>): MqttConfig {
  const { passwordFile, password: text, sessionExpiry, progressShare, ...rest } = mqtt
  const password = readSecret(text, passwordFile)
  return {
    ...rest,
    ...(password === undefined ? {} : { password }),
    sessionExpiryMs: millisecondsOf(sessionExpiry),
    progressShare: parsed(progressShare, parseShare),
  }
}

function buildApi({ listen, tls, allowInsecure }: ConfigDocument['api']): Config['api'] {
  return { listen: listenOf(listen), allowInsecure, ...(tls === undefined ? {} : { tls }) }
}

function buildManagement(management: ConfigDocument['management']): Config['management'] {
  const { providers, verifyInterval, syncs, disk, scrub } = management
  return {
    ...{ providers, verifyIntervalMs: millisecondsOf(verifyInterval), syncs },
    disk: { high: parsed(disk.high, parseDiskMark), low: parsed(disk.low, parseDiskMark) },
    scrub: { bytesPerSecond: parsed(scrub.rate, parseRate), everyMs: millisecondsOf(scrub.every) },
  }
}

function buildAccessControl({ vaultKeyFile, auditRecords, auditAge }: ConfigDocument['access']): Config['access'] {
  const auditAgeMs = millisecondsOf(auditAge)
  return { auditRecords, auditAgeMs, ...(vaultKeyFile === undefined ? {} : { vaultKeyFile }) }
}

/** The value and everything in it, frozen. */
export function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) freeze(inner)
  }
  return value
}

function listenOf(text: string): ListenAddress {
  return parsed(text, parseListen)
}

function millisecondsOf(text: string): number {
  return parsed(text, parseDuration)
}

/** The schema has let the text pass by the same parser. */
function parsed<T>(text: string, parse: (text: string) => T | undefined): T {
  const value = parse(text)
  if (value === undefined) throw new Error(`"${text}" was not checked before it was read`)
  return value
}
