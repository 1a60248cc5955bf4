import * as Effect from "effect/Effect"
import { once } from "node:events"
import { createServer } from "node:net"

/**
 * Ports outside the range from which the kernel gives ports to clients: else, while a server is down, a client's
 * connection could take its port, and even be connected to itself.
 */
const FIRST = 15_000
const LAST = 30_000

const isFree = async (port: number): Promise<boolean> => {
  const server = createServer()
  try {
    server.listen(port, "127.0.0.1")
    await once(server, "listening")
    server.close()
    await once(server, "close")
    return true
  } catch {
    return false
  }
}

/** A port on which nobody listens now. */
export const freePort: Effect.Effect<number> = Effect.promise(async () => {
  while (true) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST))
    if (await isFree(port)) return port
  }
})
