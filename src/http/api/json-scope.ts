/** A part of the API whose bodies are JSON; around it bodies are plans, and are read by the intake. */
import type { ApiInstance } from './app.ts'

const maxBytes = 64 * 1024

/** Adds routes that take JSON bodies. */
export async function addJsonScope(app: ApiInstance, add: (scope: ApiInstance) => void): Promise<void> {
  await app.register(async scope => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser(
      'application/json',
      { parseAs: 'string', bodyLimit: maxBytes },
      scope.getDefaultJsonParser('error', 'error'),
    )
    add(scope)
  })
}
