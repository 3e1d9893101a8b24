/**
 * What of a document that has not the form of a plan can be read all the same: what its sound parts mean may be wrong, too, and is listed
 * beside what is wrong with its form. Used by plan.ts. Plan contract, "What the agent promises", 7.
 */
import { type Static, Type } from 'typebox'
import { Shape } from '../oci/shape.ts'
import { ImageSchema, PlanSchema, SwImageSchema } from './schema.ts'

const { window, maxRate, withdrawn } = PlanSchema.properties.spec.properties

const SoundSpecSchema = Type.Object({
  images: Type.Optional(Type.Array(Type.Union([Type.Partial(ImageSchema), Type.Null()]))),
  swImageDesc: Type.Optional(Type.Array(Type.Union([SwImageSchema, Type.Null()]))),
  remove: Type.Optional(Type.Array(Type.Union([Type.String(), Type.Null()]))),
  window,
  maxRate,
  withdrawn,
})

/** A plan's `spec`, of which parts may be missing; in lists, null stands in their place. */
export type SoundSpec = Static<typeof SoundSpecSchema>

const shape = new Shape(SoundSpecSchema)

/** How many levels below the document that is which goes as a whole when something in it is wrong; 2 is a field of `spec`. */
const cutAt = new Map([
  ['images', 4],
  ['swImageDesc', 3],
  ['remove', 3],
])

/**
 * The `spec` of a document without what has the wrong form.
 * @param misfits the paths of that. The document itself is left as it is.
 * @returns undefined where too little is left.
 */
export function soundSpec(document: unknown, misfits: readonly (readonly string[])[]): SoundSpec | undefined {
  const copy = structuredClone(document)
  for (const path of misfits) cut(copy, path.slice(0, cutAt.get(path[1] ?? '') ?? 2))
  const spec = child(copy, 'spec')
  return shape.check(spec) ? spec : undefined
}

function cut(document: unknown, path: readonly string[]): void {
  const key = path.at(-1)
  const parent = path.slice(0, -1).reduce(child, document)
  if (key === undefined || typeof parent !== 'object' || parent === null) return
  if (Array.isArray(parent)) parent[Number(key)] = null
  // something stood there: a plan with images that can't be read is not one without images
  else if (cutAt.has(key)) Reflect.set(parent, key, [null])
  else Reflect.deleteProperty(parent, key)
}

function child(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined
}
