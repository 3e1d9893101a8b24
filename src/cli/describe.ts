/** `describe`: everything about one object, for people: its fields, its conditions, and a Repository's last syncs. */
import type { Command } from 'commander'
import { formatAge } from './age.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import { CliError } from './cli-error.ts'
import type { CommandContext } from './context.ts'
import { formatBytes } from './format.ts'
import { findKind, kindHelp } from './kinds.ts'
import { ObjectClient, type ReadObject } from './object-client.ts'
import { formatTable } from './table.ts'
import { printable } from './terminal.ts'

/** Syncs that are shown. */
const maxRuns = 10

interface DescribeFlags extends ApiFlags {
  readonly namespace: string
}

export function addDescribe(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('describe'))
    .argument('<KIND>', `what: ${kindHelp}; or KIND/NAME`)
    .argument('[NAME]', 'its name')
    .option('-n, --namespace <NAMESPACE>', 'the namespace', 'default')
    .description('show everything about one object')
    .action((kind: string, name: string | undefined, flags: DescribeFlags) => describe(context, kind, name, flags))
}

async function describe(context: CommandContext, word: string, given: string | undefined, flags: DescribeFlags) {
  const [kindWord = '', inWord] = word.split('/')
  const name = inWord ?? given
  if (name === undefined || name === '') throw new CliError('say which one: KIND NAME', { exitStatus: 2 })
  const kind = findKind(kindWord)
  await withApi(context, flags, async api => {
    const client = new ObjectClient(api)
    const object = await client.get(kind, flags.namespace, name)
    const runs = kind.kind === 'Repository' ? await client.runs(kind, flags.namespace, name) : []
    if (flags.json) context.terminal.printJson(kind.kind === 'Repository' ? { ...object, runs } : object)
    else for (const line of [...describeObject(object), ...describeRuns(runs, Date.now())]) context.terminal.print(line)
  })
}

/** `Name:  nginx` and so on; what is inside something is set in. */
function describeObject({ apiVersion, kind, metadata, spec, status }: ReadObject): string[] {
  const { name, namespace, labels, annotations, creationTimestamp, ...rest } = metadata
  const fields = {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    labels,
    annotations,
    'API Version': apiVersion,
    kind,
    ...(creationTimestamp === undefined ? {} : { created: creationTimestamp }),
    ...rest,
    ...(spec === undefined ? {} : { spec }),
    ...(status === undefined ? {} : { status }),
  }
  return describeFields(fields, 0)
}

/** `named`: the names are somebody's own (labels, annotations), and stay as they are. */
function describeFields(fields: object, depth: number, named = false): string[] {
  const entries = Object.entries(fields)
  const shownName = (key: string) => (named ? printable(key) : titleOf(key, depth))
  const width = Math.max(0, ...entries.filter(([, value]) => isPlain(value)).map(([key]) => shownName(key).length))
  const indent = '  '.repeat(depth)
  return entries.flatMap(([key, value]) => {
    const title = `${shownName(key)}:`
    if (isPlain(value)) return [`${indent}${title.padEnd(width + 3)}${textOf(value)}`]
    const inner = Array.isArray(value)
      ? value.flatMap(one => describeItem(one, depth + 1))
      : describeFields(value, depth + 1, depth === 0 && (key === 'labels' || key === 'annotations'))
    return [`${indent}${title}`, ...inner]
  })
}

function describeItem(value: unknown, depth: number): string[] {
  const indent = '  '.repeat(depth)
  if (isPlain(value)) return [`${indent}- ${textOf(value)}`]
  const [first = '', ...rest] = describeFields(value, depth + 1)
  return [`${indent}- ${first.trimStart()}`, ...rest]
}

/** What is told on the line itself. */
function isPlain(value: unknown): value is string | number | boolean | null | undefined {
  if (typeof value !== 'object' || value === null) return true
  return Object.keys(value).length === 0
}

function textOf(value: unknown): string {
  if (value === null || value === undefined || value === '' || typeof value === 'object') return '<none>'
  return printable(String(value))
}

/** `syncInterval` is `Sync Interval`. */
function titleOf(key: string, depth: number): string {
  if (depth > 0 && /[^A-Za-z0-9]/.test(key)) return printable(key)
  const words = key.replace(/([a-z0-9])([A-Z])/g, '$1 $2')
  return printable(words.charAt(0).toUpperCase() + words.slice(1))
}

function describeRuns(runs: readonly Readonly<Record<string, unknown>>[], now: number): string[] {
  if (runs.length === 0) return []
  const text = (value: unknown) => (typeof value === 'string' || typeof value === 'number' ? String(value) : '<none>')
  const errorOf = (value: unknown) =>
    typeof value === 'object' && value !== null && 'message' in value ? text(value.message) : ''
  const table = formatTable(
    runs.slice(0, maxRuns),
    [
      { title: 'AGE', value: run => formatAge(run.startedAt, now) },
      { title: 'TRIGGER', value: run => text(run.trigger) },
      { title: 'BY', value: run => text(run.by) },
      { title: 'OUTCOME', value: run => text(run.outcome) },
      { title: 'SOURCE', value: run => text(run.source) },
      { title: 'MOVED', value: run => formatBytes(Number(run.bytesMoved ?? 0)) },
      { title: 'ERROR', value: run => errorOf(run.error) },
    ],
    3,
  )
  return ['Runs:', ...table.map(line => `  ${line}`)]
}
