/**
 * What is reported about a plan: the status document, its phases and reasons, and progress. Written by runs and the intake,
 * read by MQTT, HTTP and the command line. Plan contract, "Status".
 */
import { type Static, Type } from 'typebox'
import { type ErrorCode, errorCodes, type ImageError } from '../oci/errors.ts'
import { type PackageInfo, PackageSchema } from './schema.ts'

/** EdgeGallery shows an error of at most this many characters. */
const maxHostError = 1024

/** Of many texts in a message, those that are written out. */
const maxTexts = 20

/** The phases that end a plan: nothing follows them by itself. */
const terminalPhases = ['Ready', 'Rejected', 'Failed', 'Expired', 'Withdrawn', 'Superseded'] as const
const workingPhases = ['Accepted', 'Waiting', 'Resolving', 'Fetching', 'Verifying'] as const

export const PhaseSchema = Type.Enum([...workingPhases, ...terminalPhases])
export type Phase = Static<typeof PhaseSchema>

/** Whether a plan in this phase has ended. */
export function isTerminal(phase: string): boolean {
  return terminalPhases.some(terminal => terminal === phase)
}

/** What a plan waits for. */
export const waitingReasons = ['Queue', 'Window', 'Budget', 'Space', 'Link', 'Retry'] as const
const rejectedReasons = ['Invalid', 'Unsigned', 'Untrusted', 'Stale', 'Infeasible'] as const

export type WaitingReason = (typeof waitingReasons)[number]
export type RejectedReason = (typeof rejectedReasons)[number]
/** Why a plan waits or was refused, or the code of the error it failed with. */
export type Reason = WaitingReason | RejectedReason | ErrorCode

const ReasonSchema = Type.Enum<Reason[]>([...waitingReasons, ...rejectedReasons, ...errorCodeNames()])
const Bytes = Type.Integer({ minimum: 0 })
const OrNull = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()])

export const ImagePhaseSchema = Type.Enum([
  'Accepted',
  'Waiting',
  'Resolving',
  'Fetching',
  'Fetched',
  'Published',
  'Ready',
  'Failed',
])
export type ImagePhase = Static<typeof ImagePhaseSchema>

export const ImageStatusSchema = Type.Object({
  target: Type.String(),
  digest: OrNull(Type.String()),
  phase: ImagePhaseSchema,
  /** Bytes of the image's manifests and blobs. */
  bytesTotal: Bytes,
  /** Of these, what was here before the plan. */
  bytesPresent: Bytes,
  /** Of the rest, what is here by now. */
  bytesDone: Bytes,
  attempts: Type.Integer({ minimum: 0 }),
  /** The host that sends it. */
  source: Type.String(),
  error: OrNull(Type.String()),
})
export type ImageStatus = Static<typeof ImageStatusSchema>

export const QuoteSchema = Type.Object({
  bytesTotal: Bytes,
  bytesMissing: Bytes,
  bytesPeakDisk: Bytes,
  verdict: Type.Enum(['Accepted', 'AtRisk', 'Infeasible']),
  readyAt: OrNull(Type.String()),
})
export type Quote = Static<typeof QuoteSchema>

export const BytesSchema = Type.Object({
  /** Of the quote's missing bytes, how many are here by now. */
  done: Bytes,
  /** Received over the wire. */
  fetched: Bytes,
  /** Found on disk, left by an earlier try. */
  resumed: Bytes,
})
export type ByteCounts = Static<typeof BytesSchema>

const StatusWord = Type.Enum(['Processing', 'Distributed', 'Error'])

export const PlanStatusSchema = Type.Object({
  plan: Type.String(),
  /** null where a refused plan does not say it. */
  revision: OrNull(Type.Integer()),
  edge: Type.String(),
  seq: Type.Integer({ minimum: 1 }),
  at: Type.String(),
  phase: PhaseSchema,
  status: OrNull(StatusWord),
  reason: OrNull(ReasonSchema),
  message: OrNull(Type.String()),
  hint: OrNull(Type.String()),
  quote: OrNull(QuoteSchema),
  bytes: BytesSchema,
  images: Type.Array(ImageStatusSchema),
  package: OrNull(PackageSchema),
  mecHostInfo: Type.Array(
    Type.Object({ hostIp: Type.String(), status: StatusWord, error: Type.String({ maxLength: maxHostError }) }),
  ),
})
/** The status document as it is published. */
export type PlanStatus = Static<typeof PlanStatusSchema>

/** What a status says before it has its place in the edge's sequence. */
export type StatusDraft = Omit<PlanStatus, 'edge' | 'seq' | 'at' | 'status' | 'mecHostInfo'>

export const ImageProgressSchema = Type.Object({
  target: Type.String(),
  phase: ImagePhaseSchema,
  bytesTotal: Bytes,
  bytesPresent: Bytes,
  bytesDone: Bytes,
})
export type ImageProgress = Static<typeof ImageProgressSchema>

export const PlanProgressSchema = Type.Object({
  plan: Type.String(),
  revision: OrNull(Type.Integer()),
  edge: Type.String(),
  at: Type.String(),
  phase: PhaseSchema,
  /** Bytes that the plan lacked when it was quoted. */
  bytesMissing: Bytes,
  bytes: BytesSchema,
  /** Each image's share, as in the status: what a bar per image is drawn from. */
  images: Type.Optional(Type.Array(ImageProgressSchema)),
  /** Bytes per second over the last seconds. */
  rate: Type.Number({ minimum: 0 }),
  /** At that rate; null where there is none. */
  secondsLeft: OrNull(Type.Number({ minimum: 0 })),
})
export type PlanProgress = Static<typeof PlanProgressSchema>

/** A draft with its place in the sequence, and the words that EdgeGallery's MECM understands. */
export function finishStatus(draft: StatusDraft, place: { edge: string; seq: number; at: number }): PlanStatus {
  const word = statusWord(draft.phase)
  const error = word === 'Error' ? clip(draft.message ?? draft.reason ?? draft.phase) : ''
  return {
    plan: draft.plan,
    revision: draft.revision,
    edge: place.edge,
    seq: place.seq,
    at: formatTime(place.at),
    phase: draft.phase,
    status: word,
    reason: draft.reason,
    message: draft.message,
    hint: draft.hint,
    quote: draft.quote,
    bytes: draft.bytes,
    images: draft.images,
    package: draft.package,
    // a word that is not there would be shown as an error, so a plan that has none names no host
    mecHostInfo: word === null ? [] : hostsOf(draft.package).map(hostIp => ({ hostIp, status: word, error })),
  }
}

/** Epoch milliseconds as `2026-11-21T08:03:11Z`. */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z')
}

/** An error as one line for a status: its code first, so that a program can decide by it. */
export function describeError(error: ImageError): string {
  const where = error.doing === undefined ? '' : ` (${error.doing})`
  return clip(`${error.code}: ${error.message}${where}`)
}

/** Texts as one message: the first of many, and how many more there are. */
export function joinTexts(texts: readonly string[]): string {
  const more = texts.length > maxTexts ? [`and ${texts.length - maxTexts} more`] : []
  return [...texts.slice(0, maxTexts), ...more].join('; ')
}

function statusWord(phase: Phase): PlanStatus['status'] {
  if (phase === 'Ready') return 'Distributed'
  if (phase === 'Rejected' || phase === 'Failed' || phase === 'Expired') return 'Error'
  return phase === 'Withdrawn' || phase === 'Superseded' ? null : 'Processing'
}

function hostsOf(info: PackageInfo | null): readonly string[] {
  if (info?.hostIp === undefined) return []
  return typeof info.hostIp === 'string' ? [info.hostIp] : info.hostIp
}

function clip(text: string): string {
  return text.length > maxHostError ? `${text.slice(0, maxHostError - 1)}…` : text
}

function errorCodeNames(): ErrorCode[] {
  return Object.keys(errorCodes).filter((code): code is ErrorCode => code in errorCodes)
}
