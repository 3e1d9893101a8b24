/**
 * The upload sessions of clients that push: bounded in number, size and age, kept over restarts. OCI distribution-spec, "Pushing blobs".
 * Owned by store.ts, used by http/registry.
 */
import { randomUUID } from 'node:crypto'
import { readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { addAbortSignal, type Readable } from 'node:stream'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, type DigestAlgorithm, shortDigest } from '../oci/digest.ts'
import { ImageError } from '../oci/errors.ts'
import type { UploadRecord, UploadRows } from '../state/uploads.ts'
import type { ContentStore } from './content.ts'
import { ingestFolder, uploadIdOf } from './layout.ts'
import { ignoreMissing } from './stored-blob.ts'
import { UploadError } from './upload-error.ts'
import { type SessionContext, UploadSession } from './upload-session.ts'

export interface UploadLimits {
  /** Sessions at once; default 256. */
  readonly maxSessions?: number
  /** Bytes of one blob; default 128 GiB. The disk's free space bounds it, too. */
  readonly maxBytes?: number
  /** Milliseconds after which a session that nobody uses is dropped; default 24 hours. */
  readonly maxIdleMs?: number
}

export interface UploadsOptions extends UploadLimits, Omit<SessionContext, 'rows'> {
  readonly rows: UploadRows
  readonly content: Pick<ContentStore, 'adopt' | 'freeBytes'>
  /** Shows a blob that has arrived in the repository that it was pushed to. */
  readonly link: (repository: string, blob: Pick<Descriptor, 'digest' | 'size'>) => void
  readonly now?: () => number
}

/** How far a session is. */
export interface UploadStatus {
  readonly id: string
  /** Bytes that are here: the next chunk begins there. */
  readonly offset: number
}

interface Said {
  readonly start?: number | undefined
  readonly length?: number | undefined
  readonly algorithm?: DigestAlgorithm
}

interface Held {
  readonly session: UploadSession
  usedAt: number
  worker: Worker | undefined
}

/** The request that is working with a session. */
interface Worker {
  readonly interrupt: AbortController
  readonly done: Promise<void>
  /** Whether a later request ends it. One that only hashes is waited for: beginning again would take as long. */
  readonly yields: boolean
}

const defaults = { maxSessions: 256, maxBytes: 128 * 1024 ** 3, maxIdleMs: 24 * 3_600_000 }
const sweepMs = 600_000
/** How long a session without a byte is left alone when there are too many. */
const unusedMs = 600_000

export class Uploads {
  readonly #options: UploadsOptions
  readonly #limits: Required<UploadLimits>
  readonly #now: () => number
  readonly #held = new Map<string, Held>()
  #timer: NodeJS.Timeout | undefined

  constructor(options: UploadsOptions) {
    this.#options = options
    this.#limits = {
      maxSessions: options.maxSessions ?? defaults.maxSessions,
      maxBytes: options.maxBytes ?? defaults.maxBytes,
      maxIdleMs: options.maxIdleMs ?? defaults.maxIdleMs,
    }
    this.#now = options.now ?? Date.now
  }

  /** Takes up the sessions of an earlier process; what is too old, and files that belong to none, go. */
  async start(): Promise<void> {
    const { rows, root } = this.#options
    for (const record of rows.list()) {
      const session = await UploadSession.restore(record, this.#options)
      this.#held.set(record.id, { session, usedAt: record.updatedAt, worker: undefined })
    }
    for (const name of await readdir(ingestFolder(root))) {
      const id = uploadIdOf(name)
      if (id !== undefined && !this.#held.has(id)) await unlink(join(ingestFolder(root), name)).catch(ignoreMissing)
    }
    await this.#sweep()
    this.#timer = setInterval(() => {
      this.#sweep().catch(error => this.#options.logger.warn({ err: error }, 'old uploads could not be removed'))
    }, sweepMs)
    this.#timer.unref()
  }

  /** Ends the requests under way; what has arrived is kept. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    const workers = [...this.#held.values()].flatMap(({ worker }) => (worker ? [worker] : []))
    for (const { interrupt } of workers) interrupt.abort(new Error('the registry stops'))
    await Promise.all(workers.map(({ done }) => done))
  }

  /** Bytes of all sessions. */
  get bytes(): number {
    let bytes = 0
    for (const { session } of this.#held.values()) bytes += session.offset
    return bytes
  }

  /** Begins a session. `algorithm` is what its digest will probably be of. @throws UploadError `TOO_MANY`. */
  create(repository: string, algorithm: DigestAlgorithm = 'sha256'): UploadStatus {
    if (this.#held.size >= this.#limits.maxSessions) this.#makeRoom()
    if (this.#held.size >= this.#limits.maxSessions) {
      throw new UploadError('TOO_MANY', `${this.#held.size} uploads are open, more are not taken now`)
    }
    const record: Pick<UploadRecord, 'id' | 'repository' | 'algorithm'> = { id: randomUUID(), repository, algorithm }
    this.#options.rows.add(record.id, repository, algorithm)
    const session = new UploadSession(record, this.#options)
    this.#held.set(record.id, { session, usedAt: this.#now(), worker: undefined })
    return statusOf(session)
  }

  /** How far the repository's session is, or undefined when there is none of this id. */
  find(repository: string, id: string): UploadStatus | undefined {
    const held = this.#held.get(id)
    return held?.session.repository === repository ? statusOf(held.session) : undefined
  }

  /**
   * Appends a request's body, durably once this resolves. A request that comes while another is at work ends that one: a client only
   * does so when it has given the earlier connection up. What the request says of itself, where it does: its first byte's place, its
   * length, and the algorithm of the digest to come.
   * @throws UploadError; ImageError `NO_SPACE`. What has come before it throws is kept, and {@link find} tells how much.
   */
  async append(repository: string, id: string, body: Readable, said: Said = {}): Promise<UploadStatus> {
    const { start, length, algorithm } = said
    const { session } = this.#get(repository, id)
    // Beyond what has come even now: it can't be the same client going on, so nobody is interrupted for it.
    if (start !== undefined && start > session.offset) throw outOfOrder(session.offset)
    return await this.#alone(repository, id, true, async signal => {
      if (start !== undefined && start !== session.offset) throw outOfOrder(session.offset)
      await this.#checkSpace(session.offset, length)
      if (algorithm !== undefined) session.expect(algorithm)
      // A stream that is destroyed takes its connection along, and no error could be told: only an interruption may do that.
      const chunks = addAbortSignal(signal, body).iterator({ destroyOnReturn: false })
      await session.append(chunks, { length, maxBytes: this.#limits.maxBytes }, signal)
      return statusOf(session)
    })
  }

  /**
   * Ends the session: what came is the blob `digest`, from now on in the repository.
   * @throws ImageError `DIGEST_MISMATCH`: the session and its bytes are gone then, since nobody knows what they are. `NO_SPACE`: it stays.
   */
  async finish(repository: string, id: string, digest: Digest): Promise<number> {
    return await this.#alone(repository, id, false, async signal => {
      const { session } = this.#get(repository, id)
      const size = session.offset
      if (!(await session.verify(digest, signal))) {
        await this.#drop(session)
        throw new ImageError('DIGEST_MISMATCH', `the ${size} bytes that came are not ${shortDigest(digest)}`)
      }
      await this.#options.content.adopt(session.path, { digest, size }, () => {
        this.#options.link(repository, { digest, size })
        session.forget()
      })
      this.#held.delete(id)
      return size
    })
  }

  /** Ends the session and throws away what has arrived. @throws UploadError `UNKNOWN`. */
  async cancel(repository: string, id: string): Promise<void> {
    await this.#alone(repository, id, false, async () => await this.#drop(this.#get(repository, id).session))
  }

  /** Runs `work` as the only one at the session; an earlier request at it is ended first, where it yields. */
  async #alone<T>(
    repository: string,
    id: string,
    yields: boolean,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const held = this.#get(repository, id)
    while (held.worker) {
      const { worker } = held
      if (worker.yields)
        worker.interrupt.abort(new UploadError('TAKEN_OVER', 'a later request goes on with this upload'))
      await worker.done
    }
    this.#get(repository, id) // it may be gone since
    const interrupt = new AbortController()
    const { promise: done, resolve } = Promise.withResolvers<void>()
    held.worker = { interrupt, done, yields }
    try {
      return await work(interrupt.signal)
    } finally {
      held.worker = undefined
      held.usedAt = this.#now()
      resolve()
    }
  }

  #get(repository: string, id: string): Held {
    const held = this.#held.get(id)
    if (held?.session.repository === repository) return held
    throw new UploadError('UNKNOWN', 'there is no such upload here: it was finished, cancelled, or left for too long')
  }

  /** Said before the first byte moves, where the request tells its length. */
  async #checkSpace(offset: number, length: number | undefined): Promise<void> {
    if (length === undefined) return
    if (offset + length > this.#limits.maxBytes) {
      throw new UploadError('TOO_LARGE', `a blob may have ${this.#limits.maxBytes} bytes at most here`)
    }
    const free = await this.#options.content.freeBytes()
    if (length <= free) return
    throw new ImageError('NO_SPACE', `${length} bytes are to come, the disk takes ${free}`, { side: 'local' })
  }

  /** Lets go of one session that was begun and never used: its client has nothing to lose but a POST. */
  #makeRoom(): void {
    const oldest = this.#now() - unusedMs
    for (const [id, { session, usedAt, worker }] of this.#held) {
      if (worker !== undefined || session.offset > 0 || usedAt > oldest) continue
      this.#held.delete(id)
      session.discard().catch(error => this.#options.logger.warn({ err: error }, 'an unused upload was not removed'))
      return
    }
  }

  async #drop(session: UploadSession): Promise<void> {
    await session.discard()
    this.#held.delete(session.id)
  }

  async #sweep(): Promise<void> {
    const oldest = this.#now() - this.#limits.maxIdleMs
    for (const { session, usedAt, worker } of [...this.#held.values()]) {
      if (worker !== undefined || usedAt >= oldest || !this.#held.has(session.id)) continue
      this.#options.logger.info(
        { upload: session.id, repository: session.repository },
        'an abandoned upload is removed',
      )
      await this.cancel(session.repository, session.id)
    }
  }
}

function statusOf({ id, offset }: UploadSession): UploadStatus {
  return { id, offset }
}

function outOfOrder(offset: number): UploadError {
  return new UploadError('OUT_OF_ORDER', `the next chunk has to begin at byte ${offset}`)
}
