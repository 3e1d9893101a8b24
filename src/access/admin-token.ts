/** The file with the admin token that the first start makes: `<stateDir>/admin-token`, for its owner's eyes only. Commands on the same machine read it. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writePrivateFile } from './private-file.ts'

const maxBytes = 1024

export function adminTokenFile(stateDir: string): string {
  return join(stateDir, 'admin-token')
}

/** Writes the token, whole or not at all, with mode 0600. */
export async function writeAdminToken(stateDir: string, secret: string): Promise<void> {
  await writePrivateFile(adminTokenFile(stateDir), `${secret}\n`)
}

/** The token of the file; undefined when there is none. @throws what the file system says where the file is there but closed to this user. */
export async function readAdminToken(stateDir: string): Promise<string | undefined> {
  try {
    const text = await readFile(adminTokenFile(stateDir), 'utf8')
    return text.length > maxBytes ? undefined : text.trim()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
