/**
 * An answer that is not what was asked for, as an ImageError with a code of the closed list.
 * OCI distribution-spec, "Error codes". The body is a guest's: read to a limit, checked, and quoted in part.
 */
import { Type } from 'typebox'
import { type ErrorCode, ImageError } from '../oci/errors.ts'
import { Shape } from '../oci/shape.ts'
import type { Answer } from './answer.ts'
import type { Doing } from './failures.ts'
import { redactUrl } from './redact.ts'

/** What a request was about; decides what a bare 404 means. */
export type Subject = 'registry' | 'manifest' | 'blob' | 'tags' | 'referrers' | 'upload' | 'manifest put' | 'token'

const maxErrorBytes = 64 * 1024
const maxRetryAfterMs = 60 * 60 * 1000

const errorBody = new Shape(
  Type.Object({
    errors: Type.Array(
      Type.Object({
        code: Type.Optional(Type.String()),
        message: Type.Optional(Type.Unknown()),
      }),
      { minItems: 1 },
    ),
  }),
)

/** The specification's codes. What isn't here, Harbor's NOT_FOUND for one, is told by the status. */
const bySpecCode: Readonly<Record<string, ErrorCode>> = {
  BLOB_UNKNOWN: 'BLOB_UNKNOWN',
  // A session that was lost or went wrong: a new one may do.
  BLOB_UPLOAD_INVALID: 'UNAVAILABLE',
  BLOB_UPLOAD_UNKNOWN: 'UNAVAILABLE',
  DENIED: 'DENIED',
  DIGEST_INVALID: 'DIGEST_MISMATCH',
  MANIFEST_BLOB_UNKNOWN: 'MANIFEST_INVALID',
  MANIFEST_INVALID: 'MANIFEST_INVALID',
  MANIFEST_UNKNOWN: 'MANIFEST_UNKNOWN',
  MANIFEST_UNVERIFIED: 'MANIFEST_INVALID',
  NAME_INVALID: 'NAME_INVALID',
  NAME_UNKNOWN: 'NAME_UNKNOWN',
  SIZE_INVALID: 'SIZE_MISMATCH',
  TAG_INVALID: 'TAG_INVALID',
  TOOMANYREQUESTS: 'TOOMANYREQUESTS',
  UNAUTHORIZED: 'UNAUTHORIZED',
  UNAVAILABLE: 'UNAVAILABLE',
  UNSUPPORTED: 'UNSUPPORTED',
}

const notFound: Readonly<Record<Subject, ErrorCode>> = {
  registry: 'UNSUPPORTED',
  manifest: 'MANIFEST_UNKNOWN',
  blob: 'BLOB_UNKNOWN',
  tags: 'NAME_UNKNOWN',
  referrers: 'MANIFEST_UNKNOWN',
  upload: 'NAME_UNKNOWN',
  'manifest put': 'NAME_UNKNOWN',
  token: 'UNAUTHORIZED',
}

const unknownLayerHint =
  'The registry wants every layer of a manifest, those too that may not be copied: allow their addresses there (docker-registry: `validation.manifests.urls.allow`), or push the image without such layers.'

/** Refusals of the content itself: by an external local registry, these are for its operator and no other try helps. */
const refusals = new Set<ErrorCode>([
  'MANIFEST_INVALID',
  'MANIFEST_UNKNOWN',
  'BLOB_UNKNOWN',
  'NAME_UNKNOWN',
  'UNSUPPORTED',
])

/** Makes the error of an answer, and reads the answer away for it. @throws the signal's reason only. */
export async function answerError(
  answer: Answer,
  subject: Subject,
  about: Doing,
  now: () => number,
): Promise<ImageError> {
  const said = readBody(await readStart(answer))
  const code = chooseCode(answer, subject, about, said.code)
  const retryAfterMs = parseRetryAfter(answer.header('retry-after'), now())
  const reason = said.text === '' ? '' : `: ${said.text}`
  const hint = isUnknownLayer(subject, said.code) ? unknownLayerHint : hintFor(code, subject, about, answer)
  return new ImageError(code, `${redactUrl(answer.url)} answered ${answer.status}${reason}`, {
    ...about,
    host: answer.url.host,
    answered: true,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(hint === undefined ? {} : { hint }),
  })
}

/**
 * `Retry-After` in milliseconds from `now` (epoch ms): seconds or a date, at most an hour, so that a server's slip doesn't
 * silence a site for a day. RFC 9110, 10.2.3.
 */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined
  const text = value.trim()
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now
  return Number.isNaN(wait) ? undefined : Math.min(Math.max(wait, 0), maxRetryAfterMs)
}

function chooseCode(answer: Answer, subject: Subject, about: Doing, said: string | undefined): ErrorCode {
  const { status } = answer
  if (status === 429) return 'TOOMANYREQUESTS'
  if (status >= 500 && !isUnknownLayer(subject, said)) return 'UNAVAILABLE'
  // Only of an upload does it speak of content; elsewhere it means a digest that the registry can't read.
  const unreadable = said === 'DIGEST_INVALID' && subject !== 'upload'
  const spoken = said === undefined || unreadable ? undefined : bySpecCode[said]
  const code = spoken ?? byStatus(status, subject)
  return about.side === 'local' && subject === 'manifest put' && refusals.has(code) ? 'LOCAL_REFUSED' : code
}

/** docker-registry says so of a layer that may not be copied and whose address it doesn't allow, with a 500. */
function isUnknownLayer(subject: Subject, said: string | undefined): boolean {
  return subject === 'manifest put' && said === 'MANIFEST_BLOB_UNKNOWN'
}

function byStatus(status: number, subject: Subject): ErrorCode {
  if (status === 401 || status === 407) return 'UNAUTHORIZED'
  if (status === 403 || status === 451) return 'DENIED'
  if (status === 404 || status === 410) return notFound[subject]
  if (status === 408 || status === 425) return 'TIMEOUT'
  if (subject === 'manifest put' && (status === 400 || status === 422)) return 'MANIFEST_INVALID'
  // A success that isn't one of those expected, or a redirect without an address: nothing that a registry says.
  return status < 400 ? 'UNAVAILABLE' : 'UNSUPPORTED'
}

function hintFor(code: ErrorCode, subject: Subject, about: Doing, answer: Answer): string | undefined {
  if (about.side === 'local' && (code === 'UNAUTHORIZED' || code === 'DENIED')) {
    return 'Check the user name and password under `registry.external` in the configuration, and that this user may pull and push.'
  }
  if (code === 'UNAUTHORIZED' && subject === 'token') {
    return `The token server ${answer.url.host} refuses the user name and password that are configured for this registry.`
  }
  if (code === 'UNSUPPORTED') {
    return `${answer.url.host} does not take this request. Check that it is a registry of the OCI distribution API, and its version.`
  }
  return undefined
}

async function readStart(answer: Answer): Promise<Uint8Array> {
  try {
    return await answer.readStart(maxErrorBytes)
  } catch (error) {
    // The status is known; a body that breaks off takes nothing from it. An abort is not about the body.
    if (error instanceof ImageError) return new Uint8Array()
    throw error
  }
}

/** The code of the first error that says something, and what can be said of it on one line of at most 300 characters. */
function readBody(bytes: Uint8Array): { code?: string; text: string } {
  let document: unknown
  try {
    document = JSON.parse(Buffer.from(bytes).toString())
  } catch {
    return { text: '' }
  }
  if (!errorBody.check(document)) return { text: '' }
  const { errors } = document
  const first = errors.find(({ code }) => code !== undefined && code.toUpperCase() !== 'UNKNOWN') ?? errors[0]
  const message = typeof first?.message === 'string' ? first.message : ''
  const text = printable(`${first?.code ?? ''} ${message}`.trim())
  return first?.code === undefined ? { text } : { code: first.code.toUpperCase(), text }
}

/** Others' text goes into logs and onto terminals: one line, no control characters, no addresses with secrets in their query. */
function printable(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').replace(/(https?:\/\/)\S+/g, '$1…')
  return line.length > 300 ? `${line.slice(0, 300)}…` : line
}
