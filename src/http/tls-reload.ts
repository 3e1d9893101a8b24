/**
 * Takes up new certificates without a restart: looks at the two files now and then, and gives them to the server once both are there and fit.
 * Looking is done by time and not by events, since certificates arrive by renames and links that events miss. Used by the two servers.
 */
import { stat } from 'node:fs/promises'
import type { Server as HttpServer } from 'node:http'
import { Server as TlsServer } from 'node:tls'
import type { Logger } from 'pino'
import { readTls, type TlsFiles } from './listener.ts'

export interface TlsReloadOptions {
  readonly files: TlsFiles
  /** For messages: the address and the key of the configuration. */
  readonly where: { readonly listen: string; readonly key: string }
  readonly logger: Logger
  readonly intervalMs?: number
}

const defaultIntervalMs = 10_000

export class TlsReload {
  readonly #options: TlsReloadOptions
  #timer: NodeJS.Timeout | undefined
  #seen = ''
  #looking = false

  constructor(options: TlsReloadOptions) {
    this.#options = options
  }

  /** Follows the files for a server that was started with what is in them now. */
  async start(server: HttpServer | TlsServer): Promise<void> {
    if (!(server instanceof TlsServer)) return
    this.#seen = (await this.#look()) ?? ''
    this.#timer = setInterval(() => void this.#follow(server), this.#options.intervalMs ?? defaultIntervalMs).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #follow(server: TlsServer): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    const { files, where, logger } = this.#options
    try {
      const now = await this.#look()
      if (now === undefined || now === this.#seen) return
      this.#seen = now
      const pair = await readTls(files, where)
      if (this.#timer === undefined) return
      server.setSecureContext(pair)
      logger.info({ certFile: files.certFile }, 'the new certificate is in use')
    } catch (error) {
      // Half of a change: the other half changes the files once more.
      logger.warn({ err: error }, 'the new certificate can not be used; the one before stays in use')
    } finally {
      this.#looking = false
    }
  }

  /** What tells one version of the files from another; undefined while one of them is missing. */
  async #look(): Promise<string | undefined> {
    const { certFile, keyFile } = this.#options.files
    try {
      const found = await Promise.all([stat(certFile), stat(keyFile)])
      return found.map(({ ino, size, mtimeMs }) => `${ino}:${size}:${mtimeMs}`).join(' ')
    } catch {
      return undefined
    }
  }
}
