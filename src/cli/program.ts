/** The command line: every command in one program, and what its end means as an exit status. Called by main.ts. */
import { Command, CommanderError } from 'commander'
import { AccessError } from '../access/errors.ts'
import { ConfigError } from '../config.ts'
import { ImageError } from '../oci/errors.ts'
import { StateError } from '../state/errors.ts'
import { ApiFailure } from './api-client.ts'
import { addApply } from './apply.ts'
import { addAuditList } from './audit-list.ts'
import { addAuditExport, addAuditVerify } from './audit-verify.ts'
import { CliError } from './cli-error.ts'
import { addCollect } from './collect.ts'
import { addConfigCheck } from './config-check.ts'
import { addConfigShow } from './config-show.ts'
import type { CommandContext } from './context.ts'
import { addDelete } from './delete.ts'
import { addDescribe } from './describe.ts'
import { addGet } from './get.ts'
import { addImages } from './images.ts'
import { Refusal } from './object-client.ts'
import { addPlanList } from './plan-list.ts'
import { addPlanQuote } from './plan-quote.ts'
import { addPlanRetry } from './plan-retry.ts'
import { addPlanShow } from './plan-show.ts'
import { addPlanSubmit } from './plan-submit.ts'
import { addPlanWithdraw } from './plan-withdraw.ts'
import { addPull } from './pull.ts'
import { addRun } from './run.ts'
import { addStatus } from './status.ts'
import { printable } from './terminal.ts'
import { addTokenCreate } from './token-create.ts'
import { addTokenList } from './token-list.ts'
import { addTokenRevoke } from './token-revoke.ts'
import { addVaultRotate } from './vault-rotate.ts'
import { addWhy } from './why.ts'

/** 0 done, 1 failed, 2 wrong usage or configuration. */
export type ExitStatus = 0 | 1 | 2

/** Runs one command. `words` are the arguments without node and the script. Never throws: what goes wrong is told and becomes a status. */
export async function runCommandLine(words: readonly string[], context: CommandContext): Promise<ExitStatus> {
  try {
    await buildProgram(context).parseAsync([...words], { from: 'user' })
    return 0
  } catch (error) {
    const status = tell(error, context)
    if (status !== 0 && wantsJson(words)) tellJson(error, status, context)
    return status
  }
}

function wantsJson(words: readonly string[]): boolean {
  const end = words.indexOf('--')
  return (end < 0 ? words : words.slice(0, end)).includes('--json')
}

/** What went wrong for programs, in the form of the API's errors; where the result was told already, that it failed stands in it. */
function tellJson(error: unknown, status: ExitStatus, { terminal }: CommandContext): void {
  if (terminal.hasWritten) return
  const message = (error instanceof Error ? error.message : String(error)).replace(/^error: /, '')
  const hint = error instanceof Error && isHinted(error) ? error.hint : undefined
  terminal.printJson({
    error: { code: codeOf(error, status), message, details: detailsOf(error), ...(hint === undefined ? {} : { hint }) },
  })
}

function detailsOf(error: unknown): readonly string[] {
  if (error instanceof ApiFailure) return error.details
  if (error instanceof Refusal) return error.problems
  if (!(error instanceof ConfigError)) return []
  return error.problems.map(({ key, message }) => (key === '' ? message : `${key}: ${message}`))
}

/** The code of the API or of an image's failure; for what has none, whether the command was wrong or has failed. */
function codeOf(error: unknown, status: ExitStatus): string {
  if (error instanceof ApiFailure || error instanceof ImageError) return error.code
  if (error instanceof Refusal) return error.reason
  if (error instanceof ConfigError) return 'CONFIG_INVALID'
  return status === 2 ? 'USAGE' : 'FAILED'
}

function buildProgram(context: CommandContext): Command {
  const { terminal } = context
  const program = new Command('edge-image-agent')
  // Settings come first: commands copy them from their parent when they are made.
  program
    .exitOverride()
    .configureOutput({ writeOut: text => terminal.write(text), writeErr: text => terminal.note(text.trimEnd()) })
    .showHelpAfterError('(--help shows what is possible)')
    .description('Gets container images to this edge site: from plans over MQTT or HTTP into the local registry.')
    .version(context.version)
  addRun(program, context)
  addPull(program, context)
  const plan = program.command('plan').description('plans of the running agent')
  addPlanSubmit(plan, context)
  addPlanQuote(plan, context)
  addPlanList(plan, context)
  addPlanShow(plan, context)
  addPlanWithdraw(plan, context)
  addPlanRetry(plan, context)
  addApply(program, context)
  addGet(program, context)
  addDescribe(program, context)
  addDelete(program, context)
  addWhy(program, context)
  addStatus(program, context)
  addImages(program, context)
  addCollect(program, context)
  const token = program.command('token').description('who may use the agent')
  addTokenCreate(token, context)
  addTokenList(token, context)
  addTokenRevoke(token, context)
  const audit = program.command('audit').description('what was done, and what was denied')
  addAuditList(audit, context)
  addAuditVerify(audit, context)
  addAuditExport(audit, context)
  addVaultRotate(program.command('vault').description('the secrets that the agent keeps'), context)
  const config = program.command('config').description('the configuration')
  addConfigCheck(config, context)
  addConfigShow(config, context)
  return program
}

/** What went wrong as lines on standard error, and the exit status. */
function tell(error: unknown, { terminal }: CommandContext): ExitStatus {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2 // commander has told it already
  if (error instanceof ConfigError) {
    for (const line of error.message.split('\n')) terminal.note(printable(line))
    return 2
  }
  if (!(error instanceof Error)) {
    terminal.note(`error: ${printable(String(error))}`)
    return 1
  }
  const coded = error instanceof ImageError ? `${error.code}: ` : ''
  terminal.note(`error: ${coded}${printable(error.message)}`)
  if (isHinted(error)) {
    if (error.hint !== undefined) terminal.note(`hint: ${printable(error.hint)}`)
  }
  return error instanceof CliError ? error.exitStatus : 1
}

function isHinted(error: Error): error is CliError | StateError | ImageError | AccessError {
  return [CliError, StateError, ImageError, AccessError].some(kind => error instanceof kind)
}
