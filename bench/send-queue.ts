/** What the kernel holds of a server's answers that their clients have not taken yet. Linux tells it of every socket. Used by link-emulator.ts. */
import { readFile } from 'node:fs/promises'

const established = '01'

/** Bytes in the send queues of all open connections to a port of this machine. */
export async function queuedBytes(port: number): Promise<number> {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const sockets = (await readFile('/proc/net/tcp', 'utf8')).split('\n').map(line => line.trim().split(/\s+/))
  // Each line: its number, the local and the remote address, the state, then the send and the receive queue, all in hex.
  return sockets
    .filter(([, from, , state]) => from?.endsWith(local) && state === established)
    .reduce((sum, [, , , , queues = '0:0']) => sum + Number.parseInt(queues, 16), 0)
}
