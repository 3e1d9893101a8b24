/**
 * `user:password@` where it does not belong: people paste addresses with it into references, hosts and paths. What is refused is quoted in
 * messages, statuses and logs, so it is quoted without. RFC 3986, section 3.2.1.
 */

/** The text with what stands before its "@" replaced by "…"; as it is where it has no user and password. A digest's "@" is none of theirs. */
export function withoutUserinfo(text: string): string {
  const at = userinfoEnd(text)
  return at < 0 ? text : `…${text.slice(at)}`
}

/** Whether the text, a reference, has a user before its host: after a digest's "@" there is no path. */
export function hasUserinfo(text: string): boolean {
  const at = userinfoEnd(text)
  return at >= 0 && text.includes('/', at)
}

function userinfoEnd(text: string): number {
  const digest = /@sha\d+:[^@/]*$/.exec(text)?.index ?? text.length
  const at = text.slice(0, digest).lastIndexOf('@')
  return at >= 0 && (text.slice(0, at).includes(':') || text.includes('/', at)) ? at : -1
}
