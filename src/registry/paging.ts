/** Lists that come in pages, each naming the next in a `Link` header. OCI distribution-spec, "Content discovery"; RFC 8288. */
import type { Answer } from './answer.ts'
import type { Ask, Transport } from './transport.ts'

/** One page is read up to so many bytes; more is not a list that anyone meant. */
const maxPageBytes = 8 * 1024 * 1024
const maxPages = 1000

/**
 * The pages' contents, one request each. The first answer may have been fetched already (`first`).
 * @throws ImageError `REDIRECT` when a page names a next one on another origin, names itself, or there is no end; `UNSUPPORTED` for
 *   a page that is too large; and what {@link Transport.send} throws.
 */
export async function* readPages(
  transport: Transport,
  ask: Ask,
  first?: Answer,
): AsyncGenerator<Uint8Array, void, undefined> {
  let url = ask.url
  for (let page = 0; page < maxPages; page++) {
    const answer = page === 0 && first !== undefined ? first : await transport.send({ ...ask, url })
    answer.refuseEncoding()
    const bytes = await answer.read(maxPageBytes)
    if (bytes === undefined) {
      throw transport.error(
        'UNSUPPORTED',
        `a page of more than ${maxPageBytes} bytes`,
        ask.doing,
        'Check the registry.',
      )
    }
    yield bytes
    const link = nextLink(answer.headerLines('link'))
    if (link === undefined) return
    const next = transport.resolveUrl(link, url)
    if (next === undefined || next.origin !== transport.origin) {
      throw transport.error('REDIRECT', 'the next page is said to be on another host', ask.doing)
    }
    if (next.href === transport.resolveUrl(url)?.href) {
      throw transport.error('REDIRECT', 'a page names itself as the next', ask.doing)
    }
    url = next.href
  }
  throw transport.error('REDIRECT', `more than ${maxPages} pages`, ask.doing)
}

/** The target of the first link with `rel=next`. */
function nextLink(lines: readonly string[]): string | undefined {
  for (const line of lines) {
    for (const [, target, parameters = ''] of line.slice(0, 16 * 1024).matchAll(/<([^<>]*)>([^<]*)/g)) {
      if (/;\s*rel\s*=\s*(?:"[^"]*\bnext\b[^"]*"|next\b)/i.test(parameters)) return target
    }
  }
  return undefined
}
