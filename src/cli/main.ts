/** The command line with the real process around it. Called by src/main.ts, once the version of Node is known to be right. */
import { readFileSync } from 'node:fs'
import { Type } from 'typebox'
import { Parse } from 'typebox/value'
import { type ExitStatus, runCommandLine } from './program.ts'
import { Terminal } from './terminal.ts'

/** Runs the command that the process was started with. */
export function main(): Promise<ExitStatus> {
  return runCommandLine(process.argv.slice(2), {
    terminal: new Terminal(process.stdout, process.stderr, process.env),
    env: process.env,
    version: readVersion(),
    agent: () => import('../agent.ts'),
  })
}

/** package.json stands two folders up from here, in a checkout as in what is installed. */
function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return Parse(Type.Object({ version: Type.String() }), JSON.parse(text)).version
}
