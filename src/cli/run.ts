/** `run`: the daemon, in the foreground. */
import closeWithGrace from 'close-with-grace'
import type { Command } from 'commander'
import { type Logger, pino } from 'pino'
import { loadConfig } from '../config.ts'
import type { CommandContext } from './context.ts'
import { trimMemory } from './trim-memory.ts'

/** Stopping takes at most so long; whatever is cut then goes on at the next start. */
const stopMs = 20_000

export function addRun(parent: Command, context: CommandContext): void {
  parent
    .command('run')
    .description('run the agent in the foreground; logs are JSON lines on standard output')
    .option('--config <FILE>', 'the configuration file')
    .action((options: { config?: string }) => run(context, options.config))
}

/** Resolves once the agent works; from then on a signal ends the process. @throws whatever hinders the start. */
async function run(context: CommandContext, file: string | undefined): Promise<void> {
  const loaded = loadConfig({ env: context.env, ...(file === undefined ? {} : { file }) })
  const { config } = loaded
  const logger = pino({ level: config.log.level, base: { edge: config.agent.id } })
  for (const warning of loaded.warnings) logger.warn(warning)
  const { createAgent } = await context.agent()
  const agent = createAgent(config, { logger, version: context.version })
  const grace = closeOnSignals(logger, () => agent.stop())
  try {
    logger.info({ version: context.version, config: loaded.file ?? null }, 'starting')
    await agent.start()
    trimMemory()
  } catch (error) {
    grace.uninstall()
    await agent.stop()
    throw error
  }
}

/** SIGTERM and SIGINT stop the agent in order; a second one ends the process at once. */
function closeOnSignals(logger: Logger, stop: () => Promise<void>) {
  const options = {
    delay: stopMs,
    logger: false,
    onSecondSignal: (signal: string) => logger.warn({ signal }, 'second signal: ending at once'),
    onSecondError: (error: unknown) => logger.fatal({ err: error }, 'a fault while stopping: ending at once'),
    onTimeout: () => logger.error({ seconds: stopMs / 1000 }, 'stopping took too long: ending at once'),
  } as const
  return closeWithGrace(options, async ({ err, signal }) => {
    if (err) logger.fatal({ err }, 'unforeseen fault: stopping')
    else logger.info({ signal }, 'stopping')
    await stop()
    logger.info('stopped')
  })
}
