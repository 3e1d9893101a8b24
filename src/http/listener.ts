/**
 * What the two HTTP servers have in common below their routes: limits, TLS, the port and its errors, and a stop that always finishes.
 * Used by registry/server.ts and api/server.ts.
 */
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import { isIP } from 'node:net'
import { createSecureContext } from 'node:tls'
import type { FastifyInstance, FastifyServerFactory } from 'fastify'

/** PEM files of a server's certificate (with its chain) and key. */
export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
}

export type ListenErrorCode = 'ADDRESS_IN_USE' | 'NOT_PERMITTED' | 'NO_SUCH_ADDRESS' | 'TLS_FILES' | 'FAILED'

/** A server that can't listen. The message names the address and the configuration key to change. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
  readonly code: ListenErrorCode
  /** `host:port` as configured. */
  readonly address: string
  /** The configuration key that holds the address. */
  readonly key: string

  constructor(code: ListenErrorCode, message: string, where: { address: string; key: string; cause?: unknown }) {
    super(message, { cause: where.cause })
    this.code = code
    this.address = where.address
    this.key = where.key
  }
}

interface ServerLimits {
  /** Connections at once; more are closed on arrival. */
  readonly maxConnections: number
  /**
   * Milliseconds for a whole request to arrive; default one minute. 0 for a server that takes uploads, where only a connection on
   * which nothing moves is cut.
   */
  readonly requestTimeoutMs?: number
}

const headersTimeoutMs = 15_000
const defaultRequestTimeoutMs = 60_000
const idleSocketMs = 120_000
const keepAliveMs = 75_000

/**
 * A server factory for fastify: plain or TLS, with every wait bounded. A response that makes no progress for two minutes
 * (a reader that went to sleep) is cut, too, which frees its buffers and its file.
 */
export function serverFactory(limits: ServerLimits, tls?: { cert: Buffer; key: Buffer }): FastifyServerFactory {
  return handler => {
    const options = {
      headersTimeout: headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs ?? defaultRequestTimeoutMs,
      keepAliveTimeout: keepAliveMs,
    }
    const server = tls ? https.createServer({ ...options, ...tls }, handler) : http.createServer(options, handler)
    server.setTimeout(idleSocketMs)
    server.maxConnections = limits.maxConnections
    return server
  }
}

/** Reads certificate and key. @throws ListenError `TLS_FILES` naming the file that can't be read. */
export async function readTls(
  files: TlsFiles,
  where: { listen: string; key: string },
): Promise<{ cert: Buffer; key: Buffer }> {
  try {
    const [cert, key] = await Promise.all([readFile(files.certFile), readFile(files.keyFile)])
    createSecureContext({ cert, key }) // throws where the two don't fit or are no PEM
    return { cert, key }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const key = where.key.replace(/listen$/, 'tls')
    throw new ListenError('TLS_FILES', `the certificate or key in ${key} can not be used: ${reason}`, {
      address: where.listen,
      key,
      cause,
    })
  }
}

/** `host:port` as parts; `[::1]:80` and `:80` (every address) as well. @throws ListenError `FAILED` when it is neither. */
export function parseListen(listen: string, key: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(listen)
  const port = Number(match?.[3])
  if (!match || port > 65535) {
    throw new ListenError('FAILED', `${key}: "${listen}" is not host:port`, { address: listen, key })
  }
  return { host: match[1] ?? (match[2] || '0.0.0.0'), port }
}

/** Whether only programs on this machine reach the address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/**
 * Listens, and answers with the address in use, `host:port` (the real port, where 0 was asked for).
 * @throws ListenError that names the address and the key.
 */
export async function listenOn(app: FastifyInstance, listen: string, key: string): Promise<string> {
  const { host, port } = parseListen(listen, key)
  try {
    await app.listen({ host, port })
  } catch (cause) {
    await app.close()
    throw listenError(cause, listen, key)
  }
  const bound = app.server.address()
  const boundPort = typeof bound === 'object' && bound !== null ? bound.port : port
  return `${host.includes(':') ? `[${host}]` : host}:${boundPort}`
}

/** Takes no more connections, lets answers in flight finish for `graceMs`, then cuts them. */
export async function closeServer(app: FastifyInstance, graceMs: number): Promise<void> {
  const cut = setTimeout(() => app.server.closeAllConnections(), graceMs)
  try {
    await app.close()
  } finally {
    clearTimeout(cut)
  }
}

function listenError(cause: unknown, listen: string, key: string): ListenError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  const where = { address: listen, key, cause }
  if (code === 'EADDRINUSE') {
    return new ListenError(
      'ADDRESS_IN_USE',
      `${listen} is in use by another program: stop it, or change ${key} in the configuration`,
      where,
    )
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new ListenError(
      'NOT_PERMITTED',
      `no permission to listen on ${listen}: take a port above 1023 in ${key}, or grant CAP_NET_BIND_SERVICE`,
      where,
    )
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return new ListenError('NO_SUCH_ADDRESS', `${listen} is not an address of this machine: correct ${key}`, where)
  }
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new ListenError('FAILED', `can not listen on ${listen} (${key}): ${reason}`, where)
}
