/**
 * EdgeGallery's Image/SwImageDesc.json, as packages really have it, read as images of a plan. Used by plan.ts.
 *
 * What it says about size and checksum is constants and junk, so nothing is taken from there. Its keys differ from package to
 * package, numbers may be text, and some entries are virtual machines or files of the package, which are none of our business:
 * they are skipped, and said.
 */
import { ImageError } from '../oci/errors.ts'
import { type Platform, parsePlatform } from '../oci/platform.ts'
import { isTag, parseReference, type Reference } from '../oci/reference.ts'
import type { SwImage } from './schema.ts'

/** The container images of a description. */
export interface SwImages {
  readonly images: readonly { readonly source: Reference; readonly platforms: readonly Platform[] | undefined }[]
  /** What was skipped, for the operator. */
  readonly notes: readonly string[]
  /** What can't be read, with its path. */
  readonly problems: readonly string[]
}

const machineImage = /\.(qcow2?|iso|img|vmdk|vhdx?|vdi|ova|raw)$/i
const machineFormat = /^(qcow2?|iso|vmdk|vhdx?|vdi|ova)$/i
const packageFile = /^\.?\/?Image\/|\.zip\/|\.(zip|tar|tgz|tar\.gz)$/i

/** Reads every entry but those that are null; one that can't be read is a problem, one that isn't a container image in a registry is a note. */
export function readSwImageDesc(entries: readonly (SwImage | null)[]): SwImages {
  const images = new Map<string, { source: Reference; platforms: Platform[]; all: boolean }>()
  const notes: string[] = []
  const problems: string[] = []
  for (const [at, entry] of entries.entries()) {
    if (entry === null) continue
    const path = `spec.swImageDesc[${at}]`
    const image = textOf(entry.swImage)
    const skip = image === '' ? undefined : whySkipped(image, textOf(entry.diskFormat))
    if (skip !== undefined) {
      notes.push(`${nameOf(entry, at)} skipped: ${skip}`)
      continue
    }
    try {
      if (image === '') throw new ImageError('NAME_INVALID', 'missing: expected a registry reference')
      const { source, note } = referenceOf(image, textOf(entry.version))
      const platform = platformOf(entry)
      if (note) notes.push(`${nameOf(entry, at)}: ${note}`)
      if (platform === 'unknown') {
        notes.push(
          `${nameOf(entry, at)}: architecture "${clip(textOf(entry.architecture))}" is not known; the edge's own is taken`,
        )
      }
      // One image for two architectures is listed twice: it is one image, with two platforms
      const key = `${source.registry}/${source.repository}:${source.tag}@${source.digest}`
      const known = images.get(key) ?? { source, platforms: [], all: false }
      images.set(key, known)
      if (typeof platform === 'object') known.platforms.push(platform)
      else known.all = true
    } catch (error) {
      if (!(error instanceof ImageError)) throw error
      problems.push(`${path}.swImage: ${error.message}`)
    }
  }
  return {
    images: [...images.values()].map(({ source, platforms, all }) => ({
      source,
      platforms: all || platforms.length === 0 ? undefined : platforms,
    })),
    notes,
    problems,
  }
}

function whySkipped(image: string, diskFormat: string): string | undefined {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(image)) return 'a URL, so a virtual machine image'
  if (machineImage.test(image)) return 'a virtual machine image'
  if (packageFile.test(image)) return 'a file of the application package, not in a registry'
  return machineFormat.test(diskFormat) ? `a virtual machine image (${diskFormat})` : undefined
}

/** The reference, with the tag that it has, or the version as one, or `latest`. */
function referenceOf(image: string, version: string): { source: Reference; note?: string } {
  const last = image.slice(image.lastIndexOf('/') + 1)
  if (last.includes(':') || last.includes('@') || version === '') return { source: parseReference(image) }
  if (isTag(version)) return { source: parseReference(`${image}:${version}`) }
  return { source: parseReference(image), note: `version "${clip(version)}" can not be a tag; latest is taken` }
}

function platformOf(entry: SwImage): Platform | 'unknown' | undefined {
  const architecture = textOf(entry.architecture)
  if (architecture === '') return undefined
  const os = /windows/i.test(textOf(entry.operatingSystem)) ? 'windows' : 'linux'
  try {
    const platform = parsePlatform(`${os}/${architecture}`)
    return knownArchitectures.has(platform.architecture) ? platform : 'unknown'
  } catch {
    return 'unknown'
  }
}

const knownArchitectures = new Set([
  'amd64',
  'arm64',
  'arm',
  '386',
  'ppc64le',
  's390x',
  'riscv64',
  'loong64',
  'mips64le',
])

function nameOf(entry: SwImage, at: number): string {
  return clip(textOf(entry.name) || textOf(entry.swImage) || `entry ${at}`)
}

function textOf(value: string | number | null | undefined): string {
  return value === null || value === undefined ? '' : String(value).trim()
}

function clip(text: string): string {
  return text.length > 120 ? `${text.slice(0, 120)}…` : text
}
