/** Globs of `exclude`: `*` is any text, slashes included, `?` one character. Without a regular expression, which some globs would keep busy for hours. */

export function matchesGlob(glob: string, text: string): boolean {
  let [at, inText] = [0, 0]
  /** The last star, and how much of the text it has taken so far. */
  let star = -1
  let taken = 0
  while (inText < text.length) {
    if (glob[at] === '*') {
      star = at++
      taken = inText
    } else if (at < glob.length && (glob[at] === '?' || glob[at] === text[inText])) {
      at++
      inText++
    } else if (star >= 0) {
      at = star + 1
      inText = ++taken
    } else return false
  }
  while (glob[at] === '*') at++
  return at === glob.length
}
