/** Figures of cleanup, disk marks and scrub for Prometheus. Beside an external registry there are none. Used by metrics.ts. */
import { Counter, Gauge, type Registry } from 'prom-client'

/** Counts are since the start. */
export interface UpkeepFigures {
  readonly removedImages: number
  readonly freedBytes: number
  /** Above the high mark, and nothing more may go. */
  readonly diskFull: boolean
  readonly damagedFound: number
  readonly damagedRepaired: number
  /** Not whole again yet. */
  readonly damagedNow: number
}

const prefix = 'edge_image_agent_'

export function addUpkeepMetrics(registry: Registry, figures: () => UpkeepFigures | undefined): void {
  if (figures() === undefined) return
  const registers = [registry]
  const counter = (name: string, help: string, read: (now: UpkeepFigures) => number) =>
    new Counter({
      ...{ name: `${prefix}${name}`, help, registers },
      collect() {
        this.reset()
        const now = figures()
        if (now) this.inc(read(now))
      },
    })
  const gauge = (name: string, help: string, read: (now: UpkeepFigures) => number) =>
    new Gauge({
      ...{ name: `${prefix}${name}`, help, registers },
      collect() {
        const now = figures()
        if (now) this.set(read(now))
      },
    })
  counter(
    'disk_cleanup_images_total',
    'Images removed because the disk was above its high mark.',
    now => now.removedImages,
  )
  counter('disk_cleanup_bytes_total', 'Bytes freed because the disk was above its high mark.', now => now.freedBytes)
  gauge('disk_full', '1 while the disk is above its high mark and nothing more may be removed.', now =>
    now.diskFull ? 1 : 0,
  )
  counter('scrub_damaged_total', 'Blobs that the scrub found damaged or missing.', now => now.damagedFound)
  counter('scrub_repaired_total', 'Damaged or missing blobs that were fetched again.', now => now.damagedRepaired)
  gauge('damaged_blobs', 'Blobs that are damaged or missing now.', now => now.damagedNow)
}
