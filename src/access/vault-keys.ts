/**
 * The file of the vault's keys: the first is the one that encrypts, the others still read. Either 32 raw bytes (one key), or lines of 32
 * bytes each in base64 or hex; lines that start with # are skipped. Used by vault.ts.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { AccessError } from './errors.ts'
import { writePrivateFile } from './private-file.ts'

export interface VaultKey {
  /** The first 8 bytes of the hash of the key, as hex: names the key without telling it. */
  readonly id: string
  readonly bytes: Buffer
}

const keyBytes = 32
const maxFileBytes = 64 * 1024
const maxKeys = 100

export function makeKey(): VaultKey {
  return toKey(randomBytes(keyBytes))
}

/** The keys of the file; undefined when there is no such file. @throws AccessError `vault-key-invalid`. */
export async function readKeys(file: string): Promise<readonly VaultKey[] | undefined> {
  let content: Buffer
  try {
    content = await readFile(file)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw invalid(file, `it can not be read: ${error instanceof Error ? error.message : String(error)}`, error)
  }
  if (content.byteLength === keyBytes) return [toKey(content)]
  if (content.byteLength > maxFileBytes) throw invalid(file, `it is larger than ${maxFileBytes} bytes`)
  const lines = content
    .toString('utf8')
    .split(/\r?\n/)
    .map(line => line.trim())
    .filter(line => line !== '' && !line.startsWith('#'))
  if (lines.length === 0) throw invalid(file, 'there is no key in it')
  if (lines.length > maxKeys) throw invalid(file, `there are more than ${maxKeys} keys in it`)
  return lines.map((line, at) => parseKey(line) ?? fail(file, `key ${at + 1} is not 32 bytes in base64 or hex`))
}

/** Writes the keys in their order, readable by the agent's user alone. */
export async function writeKeys(file: string, keys: readonly VaultKey[]): Promise<void> {
  const lines = keys.map(key => `# ${key.id}\n${key.bytes.toString('base64')}\n`)
  await writePrivateFile(
    file,
    `# Keys of the stored secrets; the first one encrypts. Keep a copy in a safe place.\n${lines.join('')}`,
  )
}

function parseKey(line: string): VaultKey | undefined {
  if (/^[0-9A-Fa-f]{64}$/.test(line)) return toKey(Buffer.from(line, 'hex'))
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(line)) return undefined
  return toKey(Buffer.from(line, 'base64'))
}

function toKey(bytes: Buffer): VaultKey {
  const id = createHash('sha256').update('edge-image-agent vault key\n').update(bytes).digest('hex').slice(0, 16)
  return { id, bytes }
}

function invalid(file: string, why: string, cause?: unknown): AccessError {
  return new AccessError('vault-key-invalid', `the file ${file} does not hold the vault's keys: ${why}`, {
    hint: 'Put the keys back from your backup: one key of 32 bytes a line, in base64 or hex. `openssl rand -base64 32` makes one.',
    cause,
  })
}

function fail(file: string, why: string): never {
  throw invalid(file, why)
}
