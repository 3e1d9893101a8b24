/** Which boot of the machine this is. Used by content.ts to tell whether the page cache of an earlier process is still there. */
import { readFileSync } from 'node:fs'

/** The kernel's id of this boot, or undefined where the system doesn't tell; every start then counts as one after a power loss. */
export function readBootId(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}
