/** Why the state folder can not be used: a closed list of codes, each with what an operator can do. Thrown by `openState`. */

/** Each code's hint; `DIR` stands for the state folder. */
const hints = {
  locked: 'Another agent works on this folder. Stop it, or give this one its own `agent.stateDir`.',
  'not-writable':
    "Make DIR a folder that the agent's user owns and may write (chown, chmod 0700), or name another folder in the configuration.",
  'disk-full': 'Free space on the disk of DIR, then start the agent again.',
  'newer-version': 'Install the newer agent again, or start this one with an empty `agent.stateDir`.',
  corrupt:
    'Move DIR/agent.db (and agent.db-wal, agent.db-shm) away and start again: tags are rebuilt from the layout, plans come back from the broker.',
} as const

export type StateErrorCode = keyof typeof hints

/** The state folder can not be used. Decide by `code`; `message` and `hint` are for people. */
export class StateError extends Error {
  override readonly name = 'StateError'
  readonly code: StateErrorCode
  readonly hint: string

  constructor(code: StateErrorCode, dir: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.hint = hints[code].replaceAll('DIR', dir)
  }
}

const byCode: Record<string, StateErrorCode> = {
  EACCES: 'not-writable',
  EPERM: 'not-writable',
  EROFS: 'not-writable',
  ENOTDIR: 'not-writable',
  EEXIST: 'not-writable',
  ENOENT: 'not-writable',
  SQLITE_CANTOPEN: 'not-writable',
  SQLITE_READONLY: 'not-writable',
  SQLITE_PERM: 'not-writable',
  ENOSPC: 'disk-full',
  EDQUOT: 'disk-full',
  SQLITE_FULL: 'disk-full',
  SQLITE_CORRUPT: 'corrupt',
  SQLITE_NOTADB: 'corrupt',
}

/** What the file system or SQLite threw while the folder was opened, as a StateError; anything unforeseen stays as it is. */
export function toStateError(error: unknown, dir: string): unknown {
  if (!(error instanceof Error) || !('code' in error) || error instanceof StateError) return error
  const given = String(error.code)
  // SQLite's extended codes add a suffix: SQLITE_READONLY_DIRECTORY, SQLITE_CANTOPEN_ISDIR, SQLITE_CORRUPT_INDEX.
  const code = byCode[given] ?? byCode[given.split('_', 2).join('_')]
  if (code === undefined) return error
  const what = {
    'not-writable': `the folder ${dir} can not be written`,
    'disk-full': `no space is left on the disk of ${dir}`,
    corrupt: `the database ${dir}/agent.db is damaged`,
    locked: `the folder ${dir} is in use`,
    'newer-version': `the database ${dir}/agent.db is from a newer version`,
  }[code]
  // The file system says its code in the message, SQLite doesn't.
  const said = error.message.startsWith(given) ? error.message : `${given}: ${error.message}`
  return new StateError(code, dir, `${what} (${said})`, error)
}
