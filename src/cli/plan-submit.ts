/** `plan submit`: hands a plan to the running agent, and with `--wait` follows it to its end. */
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import type { Command } from 'commander'
import type { PlanStatus } from '../plans/status.ts'
import { type ApiClient, ApiFailure } from './api-client.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import { CliError } from './cli-error.ts'
import type { CommandContext } from './context.ts'
import { followPlan } from './follow.ts'
import { onInterrupt } from './interrupt.ts'
import { describePlan, printPlan } from './plan-show.ts'
import { createProgressView } from './progress.ts'
import { printable } from './terminal.ts'

interface SubmitFlags extends ApiFlags {
  readonly wait?: boolean
}

export function addPlanSubmit(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('submit'))
    .argument('<FILE>', 'the plan, JSON or YAML, or signed (JWS); - reads standard input')
    .option('--wait', 'follow the plan to its end; exit status 0 only when it is Ready')
    .description('hand a plan to the running agent')
    .action((file: string, flags: SubmitFlags) => submit(context, file, flags))
}

async function submit(context: CommandContext, file: string, flags: SubmitFlags): Promise<void> {
  const payload = await readPlan(file)
  await withApi(context, flags, client =>
    flags.wait ? submitAndWait(context, client, payload, flags) : submitOnly(context, client, payload, flags),
  )
}

async function submitOnly(
  context: CommandContext,
  client: ApiClient,
  payload: string,
  flags: SubmitFlags,
): Promise<void> {
  const { accepted, status } = await tellProblems(context, () => client.submitPlan(payload))
  if (flags.json) context.terminal.printJson(status)
  else context.terminal.print(`${describePlan(status)}${accepted ? '' : ' — known already, nothing to do'}`)
}

/** Subscribes first, so that no status of the plan is missed. */
async function submitAndWait(
  context: CommandContext,
  client: ApiClient,
  payload: string,
  flags: SubmitFlags,
): Promise<void> {
  const { terminal } = context
  const interrupt = onInterrupt()
  const view = flags.json ? undefined : createProgressView(terminal)
  try {
    const last = await followPlan(client, {
      begin: async () => (await tellProblems(context, () => client.submitPlan(payload))).status,
      signal: interrupt.signal,
      ...(view ? { view } : {}),
    })
    view?.finish()
    report(context, last, flags)
  } catch (error) {
    view?.finish()
    if (!interrupt.signal.aborted) throw error
    throw new CliError('interrupted; the agent goes on with the plan', {
      hint: 'plan list shows how far it is',
      cause: error,
    })
  } finally {
    interrupt.release()
  }
}

function report({ terminal }: CommandContext, status: PlanStatus, flags: SubmitFlags): void {
  if (flags.json) terminal.printJson(status)
  else printPlan(terminal, status, Date.now())
  if (status.phase !== 'Ready') throw new CliError(describePlan(status))
}

/** Tells every problem of a plan that is refused. */
export async function tellProblems<T>({ terminal }: CommandContext, send: () => Promise<T>): Promise<T> {
  try {
    return await send()
  } catch (error) {
    if (error instanceof ApiFailure && error.details.length > 0) {
      for (const problem of error.details) terminal.note(printable(`  ${problem}`))
      const count = error.details.length
      if (error.code === 'PLAN_INVALID')
        throw new CliError(`the plan is refused: ${count} problem${count > 1 ? 's' : ''}`, { cause: error })
    }
    throw error
  }
}

/** The text of a file, or of standard input. @throws CliError. */
export async function readPlan(file: string): Promise<string> {
  try {
    return file === '-' ? await text(process.stdin) : readFileSync(file, 'utf8')
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new CliError(`the plan can not be read: ${reason}`, { cause: error })
  }
}
