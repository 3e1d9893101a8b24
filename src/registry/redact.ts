/**
 * URLs as they may stand in errors, logs and statuses. An allowlist: what isn't known to be harmless is replaced, because
 * redirects to object storage carry signatures in their query and nobody can list all of their names.
 */

/** Query parameters of the distribution API whose values say where something went wrong and open nothing. */
const harmless = new Set(['n', 'last', 'scope', 'service', 'digest', 'mount', 'from'])

/** Scheme, host, path, and the names of the query's parameters; never user, password or fragment. At most 500 characters. */
export function redactUrl(url: URL): string {
  const query = [...url.searchParams].map(([name, value]) => `${name}=${harmless.has(name) ? value : '…'}`).join('&')
  const text = `${url.protocol}//${url.host}${url.pathname}${query === '' ? '' : `?${query}`}`
  return text.length > 500 ? `${text.slice(0, 500)}…` : text
}
