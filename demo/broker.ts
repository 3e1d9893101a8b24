/** The demo's MQTT broker, in this process. Any other broker does as well: what is said over it is ordinary MQTT. */
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { Aedes } from 'aedes'

export class Broker {
  #server: Server | undefined
  #broker: Aedes | undefined
  readonly #sockets = new Set<Socket>()

  async start(): Promise<void> {
    const broker = await Aedes.createBroker()
    const server = createServer(socket => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
      broker.handle(socket)
    })
    this.#broker = broker
    this.#server = server
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  }

  /** `mqtt://127.0.0.1:port`. */
  get url(): string {
    const address = this.#server?.address()
    return address && typeof address === 'object' ? `mqtt://127.0.0.1:${address.port}` : ''
  }

  async stop(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    if (this.#broker) this.#broker.close(() => resolve())
    else resolve()
    for (const socket of this.#sockets) socket.destroy()
    this.#server?.close()
    await promise
  }
}
