/**
 * Which broker, and how to prove who we are: from the link's options to those of the MQTT client.
 */
import { readFile } from 'node:fs/promises'
import type { IClientOptions, MqttProtocol } from 'mqtt'
import { LinkError } from './link-error.ts'

export interface BrokerOptions {
  /** `mqtt://`, `mqtts://`, `ws://` or `wss://`, also with `user:password@`. */
  readonly url: string
  readonly username?: string
  readonly password?: string
  /** PEM files, read anew for every connection, so that renewed certificates need no restart. */
  readonly caFile?: string
  readonly certFile?: string
  readonly keyFile?: string
}

interface Scheme {
  readonly protocol: MqttProtocol
  readonly port: number
}

const schemes: Readonly<Record<string, Scheme>> = {
  'mqtt:': { protocol: 'mqtt', port: 1883 },
  'tcp:': { protocol: 'mqtt', port: 1883 },
  'mqtts:': { protocol: 'mqtts', port: 8883 },
  'ssl:': { protocol: 'mqtts', port: 8883 },
  'tls:': { protocol: 'mqtts', port: 8883 },
  'ws:': { protocol: 'ws', port: 80 },
  'wss:': { protocol: 'wss', port: 443 },
}

/** A broker's URL, taken apart once. */
export class BrokerAddress {
  readonly #options: BrokerOptions
  readonly #url: URL
  readonly #scheme: Scheme

  /** @throws LinkError `address` for a URL that isn't one. */
  constructor(options: BrokerOptions) {
    // The URL may hold a password: it is not repeated in the error.
    if (!URL.canParse(options.url)) throw new LinkError('address', 'the URL of the broker is not a URL')
    this.#options = options
    this.#url = new URL(options.url)
    const scheme = schemes[this.#url.protocol]
    if (!scheme || !this.#url.hostname) {
      throw new LinkError('address', 'the URL of the broker must be mqtt://, mqtts://, ws:// or wss:// and a host')
    }
    this.#scheme = scheme
  }

  /** `host:port`, for messages. */
  get host(): string {
    return `${this.#url.hostname}:${this.#port}`
  }

  /** The URL without user, password, query and path: what may be shown. */
  get redacted(): string {
    return `${this.#url.protocol}//${this.host}`
  }

  /** Where and as whom to connect. @throws LinkError `files` for a certificate that can't be read. */
  async clientOptions(): Promise<IClientOptions> {
    const { protocol } = this.#scheme
    const web = protocol === 'ws' || protocol === 'wss'
    const user = this.#options.username ?? decode(this.#url.username)
    const password = this.#options.password ?? decode(this.#url.password)
    return {
      protocol,
      // node:net wants an IPv6 address without the brackets that a URL needs.
      host: web ? this.#url.hostname : this.#url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: this.#port,
      ...(web ? { path: `${this.#url.pathname || '/'}${this.#url.search}` } : {}),
      ...(user ? { username: user } : {}),
      ...(password ? { password } : {}),
      ...(protocol === 'mqtts' || protocol === 'wss' ? await this.#tlsOptions() : {}),
    }
  }

  async #tlsOptions(): Promise<IClientOptions> {
    const [ca, cert, key] = await Promise.all([
      readPem(this.#options.caFile, 'caFile'),
      readPem(this.#options.certFile, 'certFile'),
      readPem(this.#options.keyFile, 'keyFile'),
    ])
    return {
      ...(ca ? { ca } : {}),
      ...(cert ? { cert } : {}),
      ...(key ? { key } : {}),
    }
  }

  get #port(): number {
    return this.#url.port ? Number(this.#url.port) : this.#scheme.port
  }
}

async function readPem(path: string | undefined, option: string): Promise<Buffer | undefined> {
  if (path === undefined) return undefined
  try {
    return await readFile(path)
  } catch (error) {
    throw new LinkError(
      'files',
      `mqtt.${option} can not be read: ${error instanceof Error ? error.message : error}`,
      error,
    )
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch (error) {
    throw new LinkError(
      'address',
      'the user or password in the URL of the broker has a "%" that is not an escape',
      error,
    )
  }
}
