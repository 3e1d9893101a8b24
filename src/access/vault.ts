/**
 * Secrets at rest: AES-256-GCM under a key from a file, bound to whose secret it is, so that a box moved to another owner does not open.
 * The boxes are the vault's own rows, so that one command can encrypt all of them anew. Built by agent.ts, used by management/.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import type { State } from '../state/database.ts'
import { type SecretRow, SecretRows } from '../state/secrets.ts'
import { AccessError } from './errors.ts'
import { makeKey, readKeys, type VaultKey, writeKeys } from './vault-keys.ts'

export interface VaultOptions {
  readonly state: State
  readonly keyFile: string
  /** Whether the file is the agent's own to write: made where it is missing, rewritten by a rotation. */
  readonly managed: boolean
  readonly logger: Logger
}

/** What a rotation has done. */
export interface Rotation {
  /** The key that everything is encrypted with now. */
  readonly keyId: string
  /** Secrets that were encrypted anew. */
  readonly count: number
  /** Keys that are in the file still and not needed any more. None where the file is the agent's own. */
  readonly unneeded: readonly string[]
}

const algorithm = 'aes-256-gcm'
const nonceBytes = 12
const tagBytes = 16

export class Vault {
  readonly #rows: SecretRows
  readonly #options: VaultOptions
  #keys: readonly VaultKey[] = []
  /** The rotation that is under way, or the last one: they follow each other, since each rewrites the file. */
  #rotation: Promise<unknown> = Promise.resolve()

  constructor(options: VaultOptions) {
    this.#rows = new SecretRows(options.state.db)
    this.#options = options
  }

  /**
   * Reads the keys; makes the first one where the file is the agent's own and missing.
   * @throws AccessError `vault-key-invalid` for a file that doesn't hold keys.
   */
  async start(): Promise<void> {
    const { keyFile, managed, logger } = this.#options
    const found = await readKeys(keyFile)
    if (found === undefined && !managed) {
      throw new AccessError('vault-key-invalid', `there is no file ${keyFile} with the vault's key`, {
        hint: 'Put it back from your backup, or take `access.vaultKeyFile` out of the configuration.',
      })
    }
    this.#keys = found ?? [makeKey()]
    if (found === undefined) await writeKeys(keyFile, this.#keys)
    const lost = this.#rows.keyIds().filter(id => !this.#keys.some(key => key.id === id))
    if (lost.length > 0) logger.error({ keyIds: lost, hint: restoreHint(keyFile) }, 'stored secrets can not be read')
  }

  /** The key that encrypts. */
  get keyId(): string {
    return this.#current().id
  }

  /** Stores a secret, in place of the one before. `context` says whose it is: `RegistrySecret/<namespace>/<name>`. Part of the transaction that is open. */
  put(context: string, plain: string): void {
    const key = this.#current()
    this.#rows.put({ context, keyId: key.id, box: encrypt(key, plain, context) })
  }

  /**
   * The secret of a context; undefined when there is none.
   * @throws AccessError `vault-key-unknown` naming the key, `vault-damaged`.
   */
  find(context: string): string | undefined {
    const row = this.#rows.find(context)
    return row && this.#open(row)
  }

  /** Forgets a secret. Part of the transaction that is open. */
  remove(context: string): void {
    this.#rows.remove(context)
  }

  /**
   * Encrypts every secret under another key: a new one where the file is the agent's own, else the first one of the file, read anew.
   * Either all of them or none; at every moment the file holds what reads them.
   * @throws AccessError when a secret can't be read, naming its key; nothing has changed then.
   */
  rotate(): Promise<Rotation> {
    const rotation = this.#rotation.then(() => this.#rotate())
    this.#rotation = rotation.catch(() => undefined)
    return rotation
  }

  async #rotate(): Promise<Rotation> {
    const { keyFile, managed } = this.#options
    const keys = (await readKeys(keyFile)) ?? this.#keys
    const next = managed ? makeKey() : keys[0]
    if (next === undefined) throw new Error('a file of keys holds at least one')
    const known = new Map([...this.#keys, ...keys, next].map(key => [key.id, key]))
    this.#checkReadable(known)
    // The new key is on the disk before anything needs it; the old ones go once nothing does.
    if (managed) await writeKeys(keyFile, [next, ...keys])
    const count = this.#rows.transaction(() => this.#reencrypt(next, known))
    this.#keys = managed ? [next] : keys
    if (managed) await writeKeys(keyFile, this.#keys)
    const unneeded = managed ? [] : keys.slice(1).map(key => key.id)
    return { keyId: next.id, count, unneeded }
  }

  #reencrypt(next: VaultKey, known: ReadonlyMap<string, VaultKey>): number {
    const rows = this.#rows.list()
    for (const row of rows) {
      this.#rows.put({ ...row, keyId: next.id, box: encrypt(next, this.#open(row, known), row.context) })
    }
    return rows.length
  }

  #checkReadable(known: ReadonlyMap<string, VaultKey>): void {
    for (const row of this.#rows.list()) this.#open(row, known)
  }

  #open(row: SecretRow, known?: ReadonlyMap<string, VaultKey>): string {
    const key = known ? known.get(row.keyId) : this.#keys.find(one => one.id === row.keyId)
    const { keyFile } = this.#options
    if (key === undefined) {
      const message = `the secret of ${row.context} was encrypted with the key ${row.keyId}, which is not in ${keyFile}`
      throw new AccessError('vault-key-unknown', message, { hint: restoreHint(keyFile) })
    }
    try {
      return decrypt(key, row.box, row.context)
    } catch (cause) {
      throw new AccessError('vault-damaged', `the stored secret of ${row.context} is damaged`, {
        hint: 'Delete what it belongs to and create it again with its password.',
        cause,
      })
    }
  }

  #current(): VaultKey {
    const [key] = this.#keys
    if (key === undefined) throw new Error('the vault was not started')
    return key
  }
}

/** nonce, tag, then the ciphertext. */
function encrypt(key: VaultKey, plain: string, context: string): Buffer {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv(algorithm, key.bytes, nonce).setAAD(boundTo(key, context))
  const content = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), content])
}

/** @throws where the box was changed, or is not of this key and context. */
function decrypt(key: VaultKey, box: Buffer, context: string): string {
  const nonce = box.subarray(0, nonceBytes)
  const tag = box.subarray(nonceBytes, nonceBytes + tagBytes)
  const decipher = createDecipheriv(algorithm, key.bytes, nonce, { authTagLength: tagBytes })
  decipher.setAAD(boundTo(key, context)).setAuthTag(tag)
  const content = decipher.update(box.subarray(nonceBytes + tagBytes))
  return Buffer.concat([content, decipher.final()]).toString('utf8')
}

function boundTo(key: VaultKey, context: string): Buffer {
  return Buffer.from(`1\n${key.id}\n${context}`)
}

function restoreHint(keyFile: string): string {
  return `Add that key to ${keyFile} as a further line, from your backup; or delete what the secrets belong to and create it again.`
}
