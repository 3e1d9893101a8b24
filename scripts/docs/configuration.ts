/** Makes the sample configuration and its reference from the schema. Used by scripts/write-docs.ts and its test. */
import { type TSchema, Type } from 'typebox'
import { stringify } from 'yaml'
import { variableName } from '../../src/config/environment.ts'
import { factsOf } from '../../src/config/forms.ts'
import { ConfigSchema } from '../../src/config/schema.ts'

/** Columns of a comment. */
const width = 100

/** agent.config.yaml: every key with its default and a comment; what has no fixed default stands there as a comment with an example. */
export function sampleConfiguration(): string {
  const head = [
    '# The configuration of edge-image-agent: every key with its default. The agent runs without this file, too.',
    '# A key without a fixed default is commented out, with an example for its value; to use a part that is commented out, take',
    "# the first # of each of its lines away. docs/configuration.md says more, such as each key's environment variable.",
    '# To check a file: edge-image-agent config check FILE',
  ]
  const keys = keysOf(ConfigSchema).map(lines => lines.join('\n'))
  return `${[head.join('\n'), ...keys].join('\n\n')}\n`
}

/** docs/configuration.md: every key in a table, by section. */
export function configurationReference(): string {
  return `${referenceHead}
${sectionsOf(ConfigSchema, [], '').join('\n')}`
}

const referenceHead = `# Configuration

<!-- Written by scripts/write-docs.ts from src/config/schema.ts. Change the schema, then run: npm run docs -->

The agent runs without any configuration. Its values come from, in this order, each over the one before:

1. the defaults below;
2. a YAML file: the one named with \`--config FILE\`, else \`/etc/edge-image-agent/agent.config.yaml\` if it is there
   ([agent.config.yaml](../agent.config.yaml) is a sample with every key);
3. environment variables, named in the tables. A value that is not a text is written as YAML: \`["linux/arm64"]\`. A list takes
   the place of the file's list as a whole. An empty variable counts as absent.

\`edge-image-agent config check [FILE]\` tells everything that is wrong at once, with its line, what was expected, and for a likely
typo the nearest key; \`edge-image-agent config show\` prints what all three come to, without the secrets.

| form | examples |
|---|---|
| duration | \`500ms\`, \`30s\`, \`10m\`, \`24h\`, \`7d\` |
| address to listen on | \`127.0.0.1:8080\`, \`0.0.0.0:5000\`, \`[::]:5000\`; port 0 lets the system choose |
| host of a registry | \`registry.example\`, \`registry.example:5000\`, \`docker.io\` for Docker Hub; never with \`https://\` before it |
| platform | \`linux/amd64\`, \`linux/arm64\`, \`linux/arm/v7\` |
| file, folder | a path; a relative one starts at the folder of the configuration file (in a variable: at the working directory) |

A secret is better kept in a file of its own: each \`password\` can be given as \`passwordFile\` instead, the path of a file that holds
it and nothing else. One line break at its end is cut. Giving both is refused. Every file that is named must be readable by the
agent's user. \`null\` is the same as leaving a key out.
`

/** The lines of each key of a section, with its comment above it. */
function keysOf(section: TSchema): string[][] {
  if (!Type.IsObject(section)) return []
  return Object.entries(section.properties).map(([key, property]) => {
    const comment = wrap(describe(property)).map(line => `# ${line}`)
    return [...comment, ...linesOf(key, property)]
  })
}

function linesOf(key: string, property: TSchema): string[] {
  if (Type.IsObject(property)) {
    const lines = [
      `${key}:`,
      ...keysOf(property)
        .flat()
        .map(line => `  ${line}`),
    ]
    return Type.IsOptional(property) ? lines.map(line => `#${line}`) : lines
  }
  if (Type.IsArray(property) && Type.IsObject(property.items)) return [`${key}:`, ...itemOf(property.items)]
  const { default: value, example } = factsOf(property)
  const line = yamlOf(key, value ?? example ?? '…')
  return [value === undefined && Type.IsOptional(property) ? `#${line}` : line]
}

/** One item of a list that is empty by default. */
function itemOf(items: TSchema): string[] {
  const lines = keysOf(items).flat()
  const first = lines.findIndex(line => !line.startsWith('# '))
  return lines.map((line, at) => `#  ${at === first ? '- ' : '  '}${line}`)
}

function yamlOf(key: string, value: unknown): string {
  const flow = stringify({ [key]: value }, { lineWidth: 0, collectionStyle: 'flow', flowCollectionPadding: false })
  return flow.trimEnd().slice(1, -1)
}

function describe(property: TSchema): string {
  const { description = '', defaultText } = factsOf(property)
  return `${description}${defaultText === undefined ? '' : ` Default: ${defaultText}.`}`
}

function wrap(text: string): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return text === '' ? [] : lines
}

/** A section's table, then those of the sections in it. */
function sectionsOf(schema: TSchema, path: readonly string[], title: string): string[] {
  if (!Type.IsObject(schema)) return []
  const entries = Object.entries(schema.properties)
  const keys = entries.filter(([, property]) => !Type.IsObject(property) && !isListOfSections(property))
  const rows = keys.map(([key, property]) => rowOf([...path, key], property, title.endsWith('[]')))
  const head = title === '' ? '## Top level' : `## ${title}`
  const intro = factsOf(schema).description
  const own = [
    head,
    '',
    ...(intro === undefined ? [] : [intro, '']),
    ...(rows.length > 0 ? [...tableHead, ...rows, ''] : []),
  ]
  const below = entries.flatMap(([key, property]) => {
    const inner = [...path, key]
    if (Type.IsObject(property)) return sectionsOf(property, inner, inner.join('.'))
    if (Type.IsArray(property) && Type.IsObject(property.items)) return listSection(property.items, inner, property)
    return []
  })
  return title === ''
    ? [...below, ...(rows.length > 0 ? own : [])]
    : rows.length > 0 || intro
      ? [...own, ...below]
      : below
}

function listSection(items: TSchema, path: readonly string[], list: TSchema): string[] {
  const [head = '', blank = '', ...rest] = sectionsOf(items, path, `${path.join('.')}[]`)
  const intro = `${factsOf(list).description ?? ''} A list; as a variable, \`${variableName(path)}\` holds the whole of it as YAML.`
  return [head, blank, intro, '', ...rest]
}

const tableHead = ['| key | value | default | what it is | variable |', '|---|---|---|---|---|']

function isListOfSections(property: TSchema): boolean {
  return Type.IsArray(property) && Type.IsObject(property.items)
}

function rowOf(path: readonly string[], property: TSchema, inList: boolean): string {
  const facts = factsOf(property)
  const items = Type.IsArray(property) ? factsOf(property.items).expected : undefined
  const value = items === undefined ? facts.expected : `a list of: ${items}`
  const fixed = facts.default === undefined ? undefined : `\`${JSON.stringify(facts.default)}\``
  const standard = facts.defaultText ?? fixed ?? (Type.IsOptional(property) ? 'none' : 'must be given')
  const cells = [
    `\`${path.at(-1)}\``,
    value ?? '',
    standard,
    facts.description ?? '',
    inList ? '' : `\`${variableName(path)}\``,
  ]
  return `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`
}
