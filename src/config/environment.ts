/**
 * The part of a configuration that comes from environment variables: `EDGE_IMAGE_AGENT_MQTT_URL` is `mqtt.url`. A value that isn't
 * a text is YAML: `["linux/arm64"]`. Used by config.ts and the reference of the configuration.
 */
import { type TSchema, Type } from 'typebox'
import { parse } from 'yaml'
import { nearest } from '../oci/nearest.ts'
import { type ConfigProblem, formatKey, type KeyPath } from './check.ts'
import { ConfigSchema } from './schema.ts'

const prefix = 'EDGE_IMAGE_AGENT_'
/** Variables of the command line, which are no keys of the configuration (so the section `api` has no variable, only its keys). */
const others = new Set(['EDGE_IMAGE_AGENT_API', 'EDGE_IMAGE_AGENT_TOKEN'])

export interface EnvironmentValues {
  readonly values: Record<string, unknown>
  readonly problems: readonly ConfigProblem[]
  readonly warnings: readonly string[]
  /** The variable that gave a key or one above it. */
  variableOf(path: KeyPath): string | undefined
}

/** The variable of a key: `transfer.stallTimeout` is `EDGE_IMAGE_AGENT_TRANSFER_STALL_TIMEOUT`. */
export function variableName(path: KeyPath): string {
  const words = path.map(part =>
    String(part)
      .replace(/([a-z])([A-Z])/g, '$1_$2')
      .toUpperCase(),
  )
  return prefix + words.join('_')
}

/** Reads every variable that names a key. An empty one counts as absent; one that names none is warned of. */
export function readEnvironment(env: NodeJS.ProcessEnv): EnvironmentValues {
  const keys = [...keysOf(ConfigSchema, [])].filter(key => !others.has(variableName(key.path)))
  const values: Record<string, unknown> = {}
  const problems: ConfigProblem[] = []
  const origins = new Map<string, string>()
  for (const { path, schema } of keys) {
    const variable = variableName(path)
    const text = env[variable]
    if (text === undefined || text === '') continue
    origins.set(formatKey(path), variable)
    try {
      setValue(values, path, Type.IsString(schema) ? text : parse(text))
    } catch {
      problems.push({ key: formatKey(path), message: `the value of ${variable} is not valid YAML` })
    }
  }
  const variables = keys.map(key => variableName(key.path))
  return {
    values,
    problems,
    warnings: unknownVariables(env, variables),
    variableOf(path) {
      for (let length = path.length; length > 0; length--) {
        const variable = origins.get(formatKey(path.slice(0, length)))
        if (variable !== undefined) return variable
      }
      return undefined
    },
  }
}

/** Every key and section outside lists; sections first, so that a key's own variable wins over its section's. */
function* keysOf(schema: TSchema, path: readonly string[]): Generator<{ path: readonly string[]; schema: TSchema }> {
  if (path.length > 0) yield { path, schema }
  if (!Type.IsObject(schema)) return
  for (const [key, property] of Object.entries(schema.properties)) yield* keysOf(property, [...path, key])
}

function setValue(values: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [key, ...rest] = path
  if (key === undefined) return
  if (rest.length === 0) {
    values[key] = value
    return
  }
  const inner = values[key]
  const section: Record<string, unknown> = typeof inner === 'object' && inner !== null ? { ...inner } : {}
  values[key] = section
  setValue(section, rest, value)
}

/** Kubernetes sets variables of this prefix for a Service of the agent's name, so an unknown one is no error. */
function unknownVariables(env: NodeJS.ProcessEnv, known: readonly string[]): string[] {
  return Object.keys(env)
    .filter(name => name.startsWith(prefix) && !known.includes(name) && !others.has(name))
    .map(name => {
      const near = nearest(name, known)
      return `${name} in the environment names no key of the configuration and is ignored${near === undefined ? '' : `; did you mean ${near}?`}`
    })
}
