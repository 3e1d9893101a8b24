/**
 * The distribution plan as it is written: one schema for what arrives over MQTT, over HTTP and from a file, and for the JSON
 * Schema that is shipped. What a plan means is in plan.ts. Plan contract, "The plan".
 */
import { type Static, Type } from 'typebox'
import { weekdays } from '../oci/time-window.ts'

/** A plan document beyond this many bytes is refused. */
export const maxPlanBytes = 1024 * 1024

/** The plan's id. */
export const planNamePattern = '^[a-z0-9][a-z0-9._-]{0,127}$'

const closed = { additionalProperties: false } as const
const Text = (description: string, maxLength = 1024) => Type.String({ minLength: 1, maxLength, description })
const Time = (description: string) => Type.String({ format: 'date-time', maxLength: 64, description })

/** One image of a plan. */
export const ImageSchema = Type.Object(
  {
    source: Text('Where the image comes from: host[:port]/repository[:tag][@digest]'),
    digest: Type.Optional(Text('Pins the content: sha256:<64 hex>. The tag is then never asked for upstream')),
    target: Type.Optional(Text('Name in the local registry; default: the repository path and tag of the source')),
    mirrors: Type.Optional(
      Type.Array(Text('host[:port]/repository'), {
        maxItems: 64,
        description: 'Other places that hold the same content',
      }),
    ),
    platforms: Type.Optional(
      Type.Array(Text('os/architecture[/variant]', 64), {
        minItems: 1,
        maxItems: 64,
        description: "Which platforms to keep; default: the edge's own. [all] keeps every one",
      }),
    ),
    referrers: Type.Optional(
      Type.Boolean({ default: true, description: 'Signatures, SBOMs and other referrers come along' }),
    ),
  },
  closed,
)

const Loose = (description: string) =>
  Type.Optional(Type.Union([Type.String({ maxLength: 1024 }), Type.Number(), Type.Null()], { description }))

/** One entry of EdgeGallery's Image/SwImageDesc.json. Unknown keys occur and are ignored. */
export const SwImageSchema = Type.Object({
  swImage: Loose('A registry reference; paths into the package and virtual machine images are skipped'),
  name: Loose('For people'),
  version: Loose('The tag, where swImage has none'),
  architecture: Loose('X86, x86_64, aarch64, …'),
  operatingSystem: Loose('linux where it is not said'),
  diskFormat: Loose('qcow2, iso, … mark a virtual machine image'),
})

/** What a plan says about the application package it belongs to. */
export const PackageSchema = Type.Object(
  {
    tenantId: Type.Optional(Text('UUID', 128)),
    appId: Type.Optional(Text('32 hex digits', 128)),
    packageId: Type.Optional(Text('32 or 64 hex digits', 128)),
    hostIp: Type.Optional(
      Type.Union([Text('IPv4', 64), Type.Array(Text('IPv4', 64), { maxItems: 256 })], {
        description: 'The address of the edge host, or a list of them',
      }),
    ),
  },
  { ...closed, description: 'Echoed in every status' },
)

const timeOfDay = { pattern: '^(?:[01][0-9]|2[0-3]):[0-5][0-9]$' }

const WindowSchema = Type.Object(
  {
    from: Type.String({ ...timeOfDay, description: 'When it opens: 01:00' }),
    to: Type.String({
      pattern: '^(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)$',
      description: 'When it closes: 05:00. Not after `from`: on the next day',
    }),
    timezone: Type.Optional(Text("IANA name, such as Asia/Shanghai; default: the edge's own", 64)),
    days: Type.Optional(
      Type.Array(Type.Enum([...weekdays]), {
        minItems: 1,
        maxItems: 7,
        description: 'The days on which it opens; default: every day',
      }),
    ),
  },
  { ...closed, description: "When content may cross the link, in place of the edge's own windows" },
)

export const PlanSchema = Type.Object(
  {
    apiVersion: Type.Literal('image.mecm/v1'),
    kind: Type.Literal('DistributionPlan'),
    metadata: Type.Object(
      {
        name: Type.String({ pattern: planNamePattern, description: "The plan's id; the last level of its topic" }),
        revision: Type.Integer({
          minimum: 1,
          maximum: Number.MAX_SAFE_INTEGER,
          description: 'Higher replaces; equal is the same plan again; lower is refused',
        }),
        issuedAt: Time('When the plan was made; decides between two plans for one target'),
        notAfter: Type.Optional(Time('Not started after this, and reported Expired')),
      },
      closed,
    ),
    spec: Type.Object(
      {
        images: Type.Optional(Type.Array(ImageSchema, { description: 'What has to be in the local registry' })),
        swImageDesc: Type.Optional(
          Type.Array(SwImageSchema, {
            description: "Instead of images: EdgeGallery's Image/SwImageDesc.json as it is",
          }),
        ),
        remove: Type.Optional(
          Type.Array(Text('repository:tag'), { description: 'Untagged only once everything else is in place' }),
        ),
        atomic: Type.Optional(Type.Boolean({ default: true, description: 'Tags move together. false: one by one' })),
        priority: Type.Optional(
          Type.Integer({ minimum: 0, maximum: 100, default: 50, description: 'Higher goes first' }),
        ),
        readyBy: Type.Optional(Time('When everything has to be here; decides the order within a priority')),
        window: Type.Optional(
          Type.Union([WindowSchema, Type.Array(WindowSchema, { minItems: 1, maxItems: 32 })], {
            description: 'one or a list of {from: "01:00", to: "05:00", timezone: Asia/Shanghai, days: [mon, tue]}',
          }),
        ),
        maxRate: Type.Optional(Text("Bits or bytes a second, such as 20Mbit or 2.5MB; within the edge's own rate", 32)),
        package: Type.Optional(PackageSchema),
        withdrawn: Type.Optional(Type.Boolean({ default: false, description: 'true withdraws the plan' })),
      },
      closed,
    ),
  },
  { ...closed, title: 'DistributionPlan', description: 'What an edge has to have in its local registry' },
)

/** A plan as it is written, checked for its form. */
export type PlanDocument = Static<typeof PlanSchema>

export type PackageInfo = Static<typeof PackageSchema>

export type SwImage = Static<typeof SwImageSchema>

/** The JSON Schema that is shipped as docs/plan.schema.json and served to people who write plans. */
export function planJsonSchema(): Record<string, unknown> {
  return { $schema: 'https://json-schema.org/draft/2020-12/schema', ...PlanSchema }
}
