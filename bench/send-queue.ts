/** What the kernel holds of a server's answers that their clients have not taken yet. Linux tells it of every socket. Used by link-emulator.ts. */
import { readFileSync } from 'node:fs'

const established = '01'

/**
 * Bytes in the send queues of all open connections to a port of this machine. At once: while it waited for the file, this process would
 * go on sending, and what it adds up with this would be of another moment, by as much as half a megabyte.
 */
export function queuedBytes(port: number): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const sockets = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map(line => line.trim().split(/\s+/))
  // Each line: its number, the local and the remote address, the state, then the send and the receive queue, all in hex.
  return sockets
    .filter(([, from, , state]) => from?.endsWith(local) && state === established)
    .reduce((sum, [, , , , queues = '0:0']) => sum + Number.parseInt(queues, 16), 0)
}
