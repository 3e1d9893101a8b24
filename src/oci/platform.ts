/** Platforms, and whether one that is offered is one that is wanted. OCI image-spec, image-index.md; containerd's platform rules. */
import { ImageError } from './errors.ts'

export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
}

/** The platforms that are wanted: some, or every one that is offered. */
export type PlatformFilter = readonly Platform[] | 'all'

const architectures: Record<string, string> = {
  x86_64: 'amd64',
  'x86-64': 'amd64',
  x64: 'amd64',
  x86: 'amd64', // EdgeGallery writes X86 for 64-bit machines
  aarch64: 'arm64',
  armhf: 'arm',
  armel: 'arm',
}

/**
 * `os/architecture[/variant]`, e.g. `linux/arm64` or `linux/arm/v7`, with the usual other names (`x86_64`, `aarch64`) understood.
 * @throws ImageError `PLATFORM_UNAVAILABLE` when the text is not of that form.
 */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.trim().toLowerCase().split('/')
  const word = /^[a-z0-9_.-]+$/
  const wrong =
    !os || !architecture || rest.length > 0 || ![os, architecture, variant ?? 'x'].every(part => word.test(part))
  if (wrong)
    throw new ImageError(
      'PLATFORM_UNAVAILABLE',
      `"${text.slice(0, 80)}" is not a platform: expected os/architecture[/variant], e.g. linux/arm64`,
    )
  return normalize({ os, architecture, ...(variant ? { variant } : {}) })
}

/** The platform as people write it. */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, ...(platform.variant ? [platform.variant] : [])].join('/')
}

/** This machine's platform, as images name it. */
export function hostPlatform(): Platform {
  const os = process.platform === 'win32' ? 'windows' : process.platform
  return normalize({ os, architecture: process.arch })
}

/**
 * Whether content for `offered` runs on `wanted`. Variants must agree when both are given; `arm64` means `arm64/v8`.
 * A 32-bit ARM node also runs lower variants, but which of several to take is for the caller ({@link choosePlatforms}).
 */
export function platformMatches(wanted: Platform, offered: Platform): boolean {
  const want = normalize(wanted)
  const offer = normalize(offered)
  if (want.os !== offer.os || want.architecture !== offer.architecture) return false
  return want.variant === undefined || offer.variant === undefined || want.variant === offer.variant
}

function normalize(platform: Platform): Platform {
  const os = platform.os.toLowerCase()
  const name = platform.architecture.toLowerCase()
  const architecture = architectures[name] ?? name
  let variant = platform.variant?.toLowerCase()
  if (name === 'armhf') variant ??= 'v7'
  if (name === 'armel') variant ??= 'v6'
  if (architecture === 'arm64' && (variant === 'v8' || variant === '8')) variant = undefined
  if (architecture === 'amd64' && variant === 'v1') variant = undefined
  if (architecture === 'arm' && variant !== undefined && /^\d$/.test(variant)) variant = `v${variant}`
  return { os, architecture, ...(variant ? { variant } : {}) }
}
