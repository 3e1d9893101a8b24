/**
 * What differs between kinds of registries, as one small interface. The four built-in ones are in the files beside this one; a site adds
 * its own as a module that exports `provider`. What an adapter leaves out is done as by `other`: the plain distribution API.
 */
import { type Static, Type } from 'typebox'
import type { HostAnswer, HostAsk } from '../../registry/host-access.ts'

/** A source as an adapter sees it. Its credentials are used, never shown. */
export interface ProviderHost {
  /** `host[:port]`, as requests go to it. */
  readonly domain: string
  readonly username: string | undefined
  readonly registry: {
    listRepositories(signal: AbortSignal): AsyncIterable<string>
    listTags(repository: string, signal: AbortSignal): AsyncIterable<string>
  }
  /** One GET of the host's own API, with the source's credentials as Basic. */
  get(ask: HostAsk): Promise<HostAnswer>
  /** A HEAD of a manifest, through the registry's own authentication. */
  headManifest(repository: string, reference: string, signal: AbortSignal): Promise<HostAnswer>
  /** One GET of another host of the same provider, anonymously, over https. */
  getElsewhere(host: string, ask: HostAsk): Promise<HostAnswer>
}

export interface NameQuery {
  /** Part of the name, lower case; empty for all. */
  readonly search: string
  /** More names are not needed. */
  readonly limit: number
  readonly signal: AbortSignal
}

/** A tag at the source. */
export interface SourceTag {
  readonly tag: string
  /** When it was pushed, epoch milliseconds, where the provider tells. */
  readonly at?: number
}

export interface Provider {
  readonly name: string
  /** The host of the registry, where people know it by another name. */
  registryHost?(domain: string): string
  /** A path as the source has it, where people write it shorter. */
  sourcePath?(path: string): string
  /** What is wrong with a path at this provider. */
  checkPath?(path: string): string | undefined
  /** What is worth knowing about a source that answers, one clause each: `2 of 100 pulls are left`. */
  inspect?(host: ProviderHost, signal: AbortSignal): Promise<readonly string[]>
  /** What to look at when a source of this provider can not be reached. */
  advise?(domain: string): string | undefined
  listRepositories?(host: ProviderHost, query: NameQuery): Promise<readonly string[]>
  listTags?(host: ProviderHost, path: string, query: NameQuery): Promise<readonly SourceTag[]>
}

/** The most names that are taken of one answer of an adapter. */
export const maxNames = 10_000

const callable = Type.Optional(Type.Refine(Type.Unknown(), value => typeof value === 'function'))

/** The form of a site's `provider`. */
export const ProviderShape = Type.Object({
  name: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' }),
  ...{ registryHost: callable, sourcePath: callable, checkPath: callable, inspect: callable, advise: callable },
  ...{ listRepositories: callable, listTags: callable },
})

export const NamesShape = Type.Array(Type.String({ maxLength: 512 }), { maxItems: maxNames })
export const NotesShape = Type.Array(Type.String({ maxLength: 512 }), { maxItems: 20 })
export const TagsShape = Type.Array(
  Type.Object({ tag: Type.String({ maxLength: 128 }), at: Type.Optional(Type.Number()) }),
  { maxItems: maxNames },
)
export type Tags = Static<typeof TagsShape>
