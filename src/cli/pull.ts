/** `pull`: the main job once, without a broker or a running daemon. */
import type { Command } from 'commander'
import { pino } from 'pino'
import { parsePlatform } from '../oci/platform.ts'
import { parseReference } from '../oci/reference.ts'
import type { PlanStatus } from '../plans/status.ts'
import { CliError } from './cli-error.ts'
import { type CommandContext, loadConfigFor } from './context.ts'
import { formatBytes, formatSeconds } from './format.ts'
import { onInterrupt } from './interrupt.ts'
import { createProgressView } from './progress.ts'
import { printable, type Terminal } from './terminal.ts'

interface PullFlags {
  readonly platform: readonly string[]
  readonly config?: string
  readonly json?: boolean
}

export function addPull(parent: Command, context: CommandContext): void {
  parent
    .command('pull')
    .argument('<REFERENCE...>', 'host[:port]/repository[:tag][@digest]')
    .description('fetch images into the configured local registry, without a broker or a running daemon')
    .option('--platform <P>', 'os/architecture[/variant], or all; may be given more than once', collect, [])
    .option('--config <FILE>', 'the configuration file')
    .option('--json', 'print the result as JSON, without progress')
    .action((references: string[], flags: PullFlags) => pull(context, references, flags))
}

async function pull(context: CommandContext, references: readonly string[], flags: PullFlags): Promise<void> {
  checkWords(references, flags.platform)
  const { config } = loadConfigFor(context, flags.config)
  const { pullImages } = await context.agent()
  const { terminal } = context
  const logger = pino({ level: config.log.level === 'info' ? 'silent' : config.log.level }, pino.destination(2))
  const view = flags.json ? undefined : createProgressView(terminal)
  const startedAt = Date.now()
  const interrupt = onInterrupt()
  const request = { references, ...(flags.platform.length > 0 ? { platforms: flags.platform } : {}) }
  try {
    const status = await pullImages(config, request, {
      logger,
      version: context.version,
      signal: interrupt.signal,
      onStatus: one => view?.status(one),
      onProgress: one => view?.progress(one),
    })
    view?.finish()
    if (flags.json) terminal.printJson(status)
    else printResult(terminal, status, (Date.now() - startedAt) / 1000)
    if (status.phase !== 'Ready') throw new CliError(`not every image is here: ${status.reason ?? status.phase}`)
  } catch (error) {
    view?.finish()
    if (!interrupt.signal.aborted) throw error
    throw new CliError('interrupted; what has arrived is kept, and the next pull goes on from there', { cause: error })
  } finally {
    interrupt.release()
  }
}

/** Wrong words are wrong usage, and told before anything is opened. */
function checkWords(references: readonly string[], platforms: readonly string[]): void {
  try {
    for (const reference of references) parseReference(reference)
    for (const platform of platforms) if (platform !== 'all') parsePlatform(platform)
  } catch (error) {
    throw new CliError(error instanceof Error ? error.message : String(error), { exitStatus: 2, cause: error })
  }
}

/** One line per image, with the digest that can be pulled; then the sum. */
function printResult(terminal: Terminal, status: PlanStatus, seconds: number): void {
  for (const image of status.images) {
    const end = image.phase === 'Ready' ? (image.digest ?? '') : (image.error ?? image.phase)
    terminal.print(printable(`${image.phase === 'Ready' ? '✓' : '✗'} ${image.target}  ${end}`))
  }
  const total = status.quote?.bytesTotal ?? 0
  const here = total - (status.quote?.bytesMissing ?? total)
  terminal.print(
    `${formatBytes(total)} asked for, ${formatBytes(here)} here already, ${formatBytes(status.bytes.fetched)} fetched, ${formatSeconds(seconds)}`,
  )
  if (status.hint !== null) terminal.note(printable(`hint: ${status.hint}`))
}

export function collect(value: string, earlier: readonly string[]): string[] {
  return [...earlier, value]
}
