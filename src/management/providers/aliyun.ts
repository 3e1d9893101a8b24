/**
 * Alibaba Cloud Container Registry: `registry.<region>.aliyuncs.com` and `<instance>-registry.<region>.cr.aliyuncs.com`. Its list of
 * repositories is behind the cloud's own API, which wants other credentials; tags come by the distribution API.
 */
import { ImageError } from '../../oci/errors.ts'
import { listCatalog } from './other.ts'
import type { Provider } from './provider.ts'

/** `-vpc` names answer inside the region's own network only. */
const internalName = /(?:^|[.-])(?:registry-vpc|registry-internal)\./

export const aliyun: Provider = {
  name: 'aliyun',

  checkPath(path) {
    return path.includes('/') ? undefined : `a path in Aliyun begins with its namespace: write "<namespace>/${path}"`
  },

  advise(domain) {
    if (!internalName.test(domain)) return undefined
    const open = domain.replace(/registry-(?:vpc|internal)\./, 'registry.')
    return `${domain} answers inside Alibaba Cloud's own network only; from outside it is ${open}`
  },

  async listRepositories(host, query) {
    try {
      return await listCatalog(host, query)
    } catch (error) {
      if (!(error instanceof ImageError) || error.transient) throw error
      throw new ImageError('UNSUPPORTED', `${host.domain} does not list its repositories to registry users`, {
        ...{ cause: error, side: 'upstream', host: host.domain },
        hint: "Look the path up in Aliyun's console, and write it as <namespace>/<repository>.",
      })
    }
  },
}
