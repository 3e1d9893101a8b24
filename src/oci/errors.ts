/**
 * The closed list of error codes and the one error class that carries them from any room to a plan's status.
 * Decide by `code`, never by message. specs: plan contract, "Status"; README, "Error codes".
 */

interface CodeFacts {
  /** `permanent` is reported at once; `transient` is tried again for as long as the plan is wanted. */
  readonly retry: 'permanent' | 'transient'
  /** What an operator can do about it. */
  readonly hint: string
}

/** Every code, whether another try can help, and what an operator can do. The README's table is made from this. */
export const errorCodes = {
  NAME_INVALID: {
    retry: 'permanent',
    hint: 'Correct the reference in the plan: host[:port]/repository[:tag][@digest].',
  },
  NAME_UNKNOWN: { retry: 'permanent', hint: 'Check the repository path, and that it exists on the upstream registry.' },
  TAG_INVALID: {
    retry: 'permanent',
    hint: 'Correct the tag: letters, digits, "_", "." and "-", at most 128 characters.',
  },
  DIGEST_INVALID: { retry: 'permanent', hint: 'Correct the digest: sha256:<64 hex> or sha512:<128 hex>.' },
  MANIFEST_UNKNOWN: {
    retry: 'permanent',
    hint: 'Check the tag or digest; push the image to the upstream registry, then send a new revision.',
  },
  MANIFEST_INVALID: {
    retry: 'permanent',
    hint: 'The upstream registry holds a manifest that is not valid; push the image again.',
  },
  BLOB_UNKNOWN: { retry: 'permanent', hint: 'The upstream registry lost a layer of this image; push the image again.' },
  UNAUTHORIZED: {
    retry: 'permanent',
    hint: 'Check the user name and password for this host under `upstreams` in the configuration.',
  },
  DENIED: { retry: 'permanent', hint: 'Grant the configured user the right to pull this repository.' },
  TOOMANYREQUESTS: {
    retry: 'transient',
    hint: 'The registry limits requests; it is asked again by itself. Credentials or a mirror raise the limit.',
  },
  UNAVAILABLE: {
    retry: 'transient',
    hint: 'The registry does not answer; it is tried again by itself. Check the link, the host and the port.',
  },
  TIMEOUT: {
    retry: 'transient',
    hint: 'The registry took too long to answer; it is tried again by itself. Check the link.',
  },
  STALLED: {
    retry: 'transient',
    hint: 'The registry stopped sending; the transfer goes on by itself from where it was.',
  },
  TLS: {
    retry: 'permanent',
    hint: 'Set `caFile` for this host to the CA that signed its certificate, or correct the certificate.',
  },
  DNS: {
    retry: 'transient',
    hint: 'The host name can not be resolved; it is tried again by itself. Check the name and the resolver.',
  },
  REDIRECT: {
    retry: 'permanent',
    hint: 'The registry redirects without end; correct its configuration or name another host.',
  },
  DIGEST_MISMATCH: {
    retry: 'permanent',
    hint: 'The registry keeps sending content that is not what its digest says; nothing of it was kept. Check the registry, or a proxy before it.',
  },
  SIZE_MISMATCH: {
    retry: 'permanent',
    hint: 'The registry keeps sending more or less than the manifest says; nothing wrong was kept. Check the registry, or a proxy before it.',
  },
  PLATFORM_UNAVAILABLE: {
    retry: 'permanent',
    hint: 'The image is not offered for this platform: publish it for the platform, or correct `platforms`.',
  },
  UNSUPPORTED: { retry: 'permanent', hint: 'Push the image again in the Docker schema 2 or OCI format.' },
  NO_SPACE: {
    retry: 'transient',
    hint: 'Free space on the disk of the local registry, or remove images; work goes on by itself.',
  },
  LOCAL_REGISTRY: {
    retry: 'transient',
    hint: 'The local registry did not take the content; check it and its log. Work goes on by itself.',
  },
  LOCAL_REFUSED: {
    retry: 'permanent',
    hint: 'The local registry refuses this content: check the rights of `registry.external`, or set `registry.external.sparseIndexes`.',
  },
  WINDOW_CLOSED: {
    retry: 'transient',
    hint: 'Nothing is wrong: work goes on by itself when the next transfer window opens.',
  },
  BUDGET_USED_UP: {
    retry: 'transient',
    hint: 'Work goes on by itself in the next period; a plan of priority 100 goes on now, and the next period pays for it.',
  },
  INTERNAL: {
    retry: 'transient',
    hint: 'A fault of the agent itself; it is tried again. Please report it with the log.',
  },
} as const satisfies Record<string, CodeFacts>

export type ErrorCode = keyof typeof errorCodes

/** The side on which a thing went wrong. */
export type Side = 'upstream' | 'local'

export interface ImageErrorOptions {
  readonly cause?: unknown
  /** What was being done, and to what: `fetch blob sha256:0123… of mecm/web`. */
  readonly doing?: string
  readonly side?: Side
  /** The host that answered wrongly, without credentials. */
  readonly host?: string
  /** Something came while it was asked: an answer, which the error may be about, or one that led to where none came. */
  readonly answered?: boolean
  /** The server's own wish from `Retry-After`, in milliseconds from now. */
  readonly retryAfterMs?: number
  /** Replaces the code's own hint where more is known. */
  readonly hint?: string
}

/** Something that stands between an image and the local registry. `message` is for people; `code` decides. */
export class ImageError extends Error {
  override readonly name = 'ImageError'
  readonly code: ErrorCode
  readonly doing: string | undefined
  readonly side: Side | undefined
  readonly host: string | undefined
  readonly answered: boolean
  readonly retryAfterMs: number | undefined
  readonly hint: string

  constructor(code: ErrorCode, message: string, options: ImageErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.doing = options.doing
    this.side = options.side
    this.host = options.host
    this.answered = options.answered ?? false
    this.retryAfterMs = options.retryAfterMs
    this.hint = options.hint ?? errorCodes[code].hint
  }

  /** Whether another try can help. */
  get transient(): boolean {
    return errorCodes[this.code].retry === 'transient'
  }
}

const fullDisk = new Set(['ENOSPC', 'EDQUOT', 'SQLITE_FULL'])

/** Any thrown thing as an ImageError; an unforeseen one becomes `INTERNAL`, a full disk `NO_SPACE`. */
export function toImageError(error: unknown): ImageError {
  if (error instanceof ImageError) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const message = error instanceof Error ? error.message : String(error)
  if (fullDisk.has(code)) {
    return new ImageError('NO_SPACE', `no space left on the disk (${code})`, { cause: error, side: 'local' })
  }
  return new ImageError('INTERNAL', message, { cause: error })
}
