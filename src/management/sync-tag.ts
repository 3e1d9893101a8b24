/** One tag, brought from a source into the local registry by the engine's steps. Used by runs and by rolling back. */
import type { Descriptor } from '../oci/descriptor.ts'
import { ImageError } from '../oci/errors.ts'
import { formatTarget } from '../oci/reference.ts'
import { Arrivals } from '../plans/arrivals.ts'
import type { FetchProgress, ImageRequest, ResolvedImage, TransferEngine } from '../transfer/engine.ts'
import type { LocalRegistry } from '../transfer/local.ts'

export interface TagParts {
  readonly engine: TransferEngine
  readonly local: Pick<LocalRegistry, 'findTag'>
  readonly planKeeping?: (repository: string, tag: string, digest: string) => string | undefined
}

export interface TagOptions {
  readonly signal: AbortSignal
  /** 0 to 1: what is on disk of what was missing. */
  readonly progress?: (part: number) => void
  /** Bytes that came over the wire, those of tries that failed among them; what an earlier try has left on disk is not counted again. */
  readonly moved?: (bytes: number) => void
}

/** Plans go first: theirs is 50 unless they say otherwise. */
const priority = 40

/**
 * Resolves, fetches what is missing, moves the tag unless it is there already, and lets the local registry confirm.
 * @throws ImageError of the source or the local registry; `LOCAL_REFUSED` where a standing plan keeps the name for other content.
 */
export async function bringTag(request: ImageRequest, parts: TagParts, options: TagOptions): Promise<ResolvedImage> {
  const { engine } = parts
  const { signal } = options
  const found = await engine.resolve(request, signal)
  refuseKept(found, parts)
  const missing = await engine.missing(found, signal)
  await checkSpace(engine, missing)
  const image = await engine.fetch(found, { signal, priority, progress: counter(missing, options) })
  const notes = (await isPublished(image, parts, signal)) ? [] : await engine.publish([image], [], signal)
  await engine.confirm(image, signal)
  return { ...image, notes: [...image.notes, ...notes] }
}

/** What a plan has put under a name stays as long as the plan stands. */
function refuseKept({ request, root }: ResolvedImage, { planKeeping }: TagParts): void {
  const { repository, tag } = request.target
  const plan = tag === undefined ? undefined : planKeeping?.(repository, tag, root.digest)
  if (plan === undefined) return
  throw new ImageError('LOCAL_REFUSED', `the plan ${plan} keeps ${formatTarget(request.target)} at other content`, {
    side: 'local',
    hint: 'Withdraw the plan, or take the image from one of the two alone.',
  })
}

async function checkSpace(engine: TransferEngine, missing: readonly Descriptor[]): Promise<void> {
  const needed = missing.reduce((sum, blob) => sum + blob.size, 0)
  const free = needed === 0 ? undefined : await engine.freeBytes()
  if (free === undefined || needed <= free) return
  throw new ImageError('NO_SPACE', `needs ${needed} bytes, ${free} are free`, { side: 'local' })
}

/** Whether every tag of the image is there: then nothing is changed, and the date of the tag stays true. */
async function isPublished(image: ResolvedImage, { local }: TagParts, signal: AbortSignal): Promise<boolean> {
  const { repository, tag } = image.request.target
  const own = tag === undefined ? [] : [{ tag, descriptor: image.root }]
  for (const wanted of [...own, ...image.extraTags]) {
    if ((await local.findTag(repository, wanted.tag, signal)) !== wanted.descriptor.digest) return false
  }
  return true
}

function counter(missing: readonly Descriptor[], { progress, moved }: TagOptions): Partial<FetchProgress> {
  const total = missing.reduce((sum, blob) => sum + blob.size, 0)
  const arrivals = new Arrivals(missing)
  const tell = () => {
    if (total > 0) progress?.(arrivals.bytes / total)
  }
  return {
    received: (_host, bytes, blob) => {
      moved?.(bytes)
      arrivals.add(blob, bytes)
      tell()
    },
    resumed: (bytes, blob) => {
      arrivals.set(blob, bytes)
      tell()
    },
    completed: blob => {
      arrivals.set(blob, blob.size)
      tell()
    },
  }
}
