/** `get`: objects of any kind as a table, or whole, as YAML or JSON; once, or as they change. */
import { setTimeout as delay } from 'node:timers/promises'
import { type Command, Option } from 'commander'
import { stringify } from 'yaml'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import { CliError } from './cli-error.ts'
import type { CommandContext } from './context.ts'
import { onInterrupt } from './interrupt.ts'
import { columnsOf } from './kind-tables.ts'
import { findKind, type Kind, kindHelp } from './kinds.ts'
import { ObjectClient, type ReadObject } from './object-client.ts'
import { formatTable } from './table.ts'

/** Between two looks of `--watch`, in milliseconds. */
const watchEveryMs = 1_000
/** Between two columns, as kubectl has it. */
const gap = 3

interface GetFlags extends ApiFlags {
  readonly namespace: string
  readonly allNamespaces?: boolean
  readonly output?: 'wide' | 'json' | 'yaml' | 'name'
  readonly selector?: string
  readonly watch?: boolean
}

/** What is asked for: a kind, and names where only some are. */
interface Wanted {
  readonly kind: Kind
  readonly names: readonly string[]
}

export function addGet(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('get'))
    .argument('<KIND>', `what: ${kindHelp}; several with commas, all, or KIND/NAME`)
    .argument('[NAME...]', 'their names; without, all of them')
    .option('-n, --namespace <NAMESPACE>', 'the namespace', 'default')
    .option('-A, --all-namespaces', 'every namespace that you may see')
    .addOption(new Option('-o, --output <FORM>', 'the form').choices(['wide', 'json', 'yaml', 'name']))
    .option('-l, --selector <LABELS>', 'only those with such labels: team=web,tier in (front,back),!old')
    .option('-w, --watch', 'go on, and show what changes')
    .description('show objects')
    .action((kind: string, names: string[], flags: GetFlags) => get(context, readWanted(kind, names), flags))
}

async function get(context: CommandContext, wanted: readonly Wanted[], given: GetFlags): Promise<void> {
  const flags: GetFlags = given.json ? { ...given, output: 'json' } : given
  await withApi(context, flags, async api => {
    const client = new ObjectClient(api)
    if (flags.watch) return watch(context, client, wanted, flags)
    const found: { kind: Kind; objects: readonly ReadObject[] }[] = []
    for (const { kind, names } of wanted) found.push({ kind, objects: await fetchAll(client, { kind, names }, flags) })
    print(context, found, wanted, flags)
  })
}

function fetchAll(client: ObjectClient, { kind, names }: Wanted, flags: GetFlags): Promise<ReadObject[]> {
  if (names.length > 0) return Promise.all(names.map(name => client.get(kind, flags.namespace, name)))
  return client.list(kind, {
    namespace: flags.allNamespaces ? '_all_' : flags.namespace,
    ...(flags.selector === undefined ? {} : { labels: flags.selector }),
  })
}

function print(
  context: CommandContext,
  found: readonly { kind: Kind; objects: readonly ReadObject[] }[],
  wanted: readonly Wanted[],
  flags: GetFlags,
): void {
  const { terminal } = context
  const all = found.flatMap(({ objects }) => objects)
  if (flags.output === 'json' || flags.output === 'yaml') {
    const [only] = all
    const single = wanted.length === 1 && wanted[0]?.names.length === 1 && only !== undefined
    terminal.write(format(single ? only : { apiVersion: 'v1', kind: 'List', items: all }, flags.output))
    return
  }
  if (all.length === 0) {
    terminal.note(flags.allNamespaces ? 'No resources found' : `No resources found in ${flags.namespace} namespace.`)
  }
  const shown = found.filter(({ objects }) => objects.length > 0)
  for (const [at, { kind, objects }] of shown.entries()) {
    if (at > 0) terminal.print('')
    for (const line of lines(kind, objects, flags, shown.length > 1)) terminal.print(line)
  }
}

/** The lines of one kind's table, or of its names. */
function lines(kind: Kind, objects: readonly ReadObject[], flags: GetFlags, prefixed: boolean): string[] {
  if (flags.output === 'name') return objects.map(({ metadata }) => `${kind.singular}/${metadata.name}`)
  const columns = columnsOf(kind.kind, {
    wide: flags.output === 'wide',
    withNamespace: flags.allNamespaces === true,
    now: Date.now(),
  })
  const named = prefixed ? objects.map(one => withName(one, `${kind.singular}/${one.metadata.name}`)) : objects
  return formatTable(named, columns, gap)
}

/** Shows what is there, then every object again that has changed, until it is interrupted. */
async function watch(context: CommandContext, client: ObjectClient, wanted: readonly Wanted[], flags: GetFlags) {
  const [first] = wanted
  if (first === undefined || wanted.length > 1) {
    throw new CliError('--watch follows one kind at a time', { exitStatus: 2 })
  }
  const interrupt = onInterrupt()
  const seen = new Map<string, string>()
  try {
    for (let titled = false; !interrupt.signal.aborted; ) {
      const objects = await fetchAll(client, first, flags)
      const changed = objects.filter(object => isNews(object, seen))
      if (flags.output === 'json' || flags.output === 'yaml') {
        for (const object of changed) context.terminal.write(separated(object, flags.output))
      } else if (changed.length > 0) {
        const [title = '', ...rows] = lines(first.kind, changed, flags, false)
        for (const line of titled ? rows : [title, ...rows]) context.terminal.print(line)
        titled = flags.output !== 'name'
      }
      await delay(watchEveryMs, undefined, { signal: interrupt.signal })
    }
  } catch (error) {
    if (!interrupt.signal.aborted) throw error
  } finally {
    interrupt.release()
  }
}

function isNews(object: ReadObject, seen: Map<string, string>): boolean {
  const { namespace = '', name } = object.metadata
  const [key, text] = [`${namespace}/${name}`, JSON.stringify(object)]
  if (seen.get(key) === text) return false
  seen.set(key, text)
  return true
}

function readWanted(words: string, names: readonly string[]): Wanted[] {
  const [word = '', name, ...more] = words.split('/')
  if (name !== undefined) {
    if (name === '' || more.length > 0) throw new CliError(`"${words}" is not KIND/NAME`, { exitStatus: 2 })
    return [{ kind: findKind(word), names: [name, ...names] }]
  }
  const all =
    words === 'all' ? ['registry-secrets', 'repositories', 'image-cleanup-policies', 'plans'] : words.split(',')
  if (all.length > 1 && names.length > 0) throw new CliError('names go with one kind', { exitStatus: 2 })
  return all.map(one => ({ kind: findKind(one), names }))
}

function format(value: object, form: 'json' | 'yaml'): string {
  return form === 'json' ? `${JSON.stringify(value, null, 2)}\n` : stringify(value)
}

function separated(value: object, form: 'json' | 'yaml'): string {
  return form === 'json' ? format(value, form) : `---\n${format(value, form)}`
}

function withName(object: ReadObject, name: string): ReadObject {
  return { ...object, metadata: { ...object.metadata, name } }
}
