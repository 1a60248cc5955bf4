import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Socket } from "node:net"
import { connect, createServer } from "node:net"
import { freePort } from "./internal/ports.ts"
import { ServerUnavailable } from "./ServerControl.ts"

/**
 * Which way bytes go: `upstream` from the client to the server, `downstream` back.
 *
 * @category models
 */
export type Direction = "upstream" | "downstream"

/**
 * @category models
 */
export interface Target {
  readonly host: string
  readonly port: number
}

/**
 * What to do about bytes that pass, on their connection alone:
 *
 * - `pass`: nothing.
 * - `cut`: they are not delivered, and both sides get a reset.
 * - `silence`: they are delivered; nothing comes back on this connection any more.
 * - `cutAtAnswer`: they are delivered; at the first byte that would come back, both sides get a reset instead. The work
 *   was done, and its client cannot know.
 *
 * @category models
 */
export type Action = "pass" | "cut" | "silence" | "cutAtAnswer"

/**
 * Looks at bytes as they arrive, in pieces as the network made them.
 *
 * @category models
 */
export type Hook = (chunk: Buffer, connection: number) => Action

/**
 * @category models
 */
export interface Traffic {
  /** Connections now. */
  readonly live: number
  /** Connections ever. */
  readonly accepted: number
  /** Bytes delivered. */
  readonly upstream: number
  readonly downstream: number
}

/**
 * A TCP proxy that can be told to fail. What it is told holds for the connections there are and for those to come, until
 * `pass`; several faults hold together. Bytes are delayed, held or cut off, never lost in the middle: TCP loses none.
 *
 * @category models
 */
export interface TcpProxy extends Target {
  /** Ends every fault and hook, and listens again; what was held is delivered. What a hook did to a connection, stays. */
  readonly pass: Effect.Effect<void, ServerUnavailable>
  /** Every piece arrives so much later, give or take the jitter, in order. */
  readonly latency: (millis: number, jitter?: number) => Effect.Effect<void>
  /**
   * Nothing is delivered, in one direction or both: neither bytes nor the end or the reset of a connection. Connections
   * are accepted.
   */
  readonly stall: (direction?: Direction) => Effect.Effect<void>
  /** Resets every connection there is, on both sides. */
  readonly cut: Effect.Effect<void>
  /** New connections are refused; those there are, stay. */
  readonly refuse: Effect.Effect<void>
  /** Ends every connection there is, in one direction only: the receiver reads its end, and may still write. */
  readonly halfClose: (direction?: Direction) => Effect.Effect<void>
  /** Resets every connection after so many more bytes of it, in either direction; the last piece is cut short. */
  readonly limit: (bytes: number) => Effect.Effect<void>
  readonly onUpstream: (hook: Hook) => Effect.Effect<void>
  readonly onDownstream: (hook: Hook) => Effect.Effect<void>
  /** Where new connections go. */
  readonly setTarget: (target: Target) => Effect.Effect<void>
  readonly traffic: Effect.Effect<Traffic>
  /** How many connections there are now. */
  readonly connections: Effect.Effect<number>
}

/** How much is held for one direction of a connection before its sender is no longer read, in bytes. */
const HELD_BYTES = 1024 * 1024

/** What one side sent and the other has not been given yet. */
type Piece =
  | { readonly kind: "bytes"; readonly due: number; readonly bytes: Buffer }
  | { readonly kind: "end"; readonly due: number }
  | { readonly kind: "reset"; readonly due: number }

/** One direction of a connection. */
interface Flow {
  readonly deliver: () => void
  /** Delivers without waiting for what was due later. */
  readonly hurry: () => void
  readonly end: () => void
  /** Nothing is delivered any more, or a reset instead of the next bytes. */
  readonly divert: (to: "silence" | "cut") => void
}

interface Connection {
  readonly flows: Readonly<Record<Direction, Flow>>
  readonly reset: () => void
  remaining: number
}

const opposite = { upstream: "downstream", downstream: "upstream" } as const

interface Faults {
  latency: number
  jitter: number
  limit: number
  readonly stalled: Set<Direction>
  readonly hooks: Partial<Record<Direction, Hook>>
}

const noFaults = (): Faults => ({
  latency: 0,
  jitter: 0,
  limit: Number.POSITIVE_INFINITY,
  stalled: new Set(),
  hooks: {}
})

/**
 * A proxy before this server, on a free port of 127.0.0.1; it ends with the scope, and its connections are reset then. A
 * target that refuses shows as a reset.
 *
 * @category constructors
 */
export const make = (to: Target): Effect.Effect<TcpProxy, ServerUnavailable, Scope.Scope> =>
  Effect.gen(function*() {
    const port = yield* freePort
    let target = to
    let faults = noFaults()
    let accepted = 0
    const delivered = { upstream: 0, downstream: 0 }
    const live = new Set<Connection>()

    const open = (client: Socket) => {
      const id = accepted++
      const server = connect({ host: target.host, port: target.port, allowHalfOpen: true, noDelay: true })
      let closed = 0

      const reset = () => {
        client.resetAndDestroy()
        server.resetAndDestroy()
      }

      const flow = (direction: Direction, source: Socket, sink: Socket): Flow => {
        const held: Array<Piece> = []
        let heldBytes = 0
        let timer: NodeJS.Timeout | undefined
        let diverted: "silence" | "cut" | undefined

        const write = (bytes: Buffer) => {
          const allowed = bytes.subarray(0, connection.remaining)
          connection.remaining -= allowed.length
          delivered[direction] += allowed.length
          if (connection.remaining <= 0) sink.write(allowed, reset)
          else if (!sink.write(allowed)) source.pause()
        }

        const give = (piece: Piece) => {
          if (piece.kind === "reset") return reset()
          if (sink.destroyed) return
          if (piece.kind === "end") return void sink.end()
          write(piece.bytes)
        }

        const deliver = () => {
          clearTimeout(timer)
          while (held[0] !== undefined && diverted === undefined && !faults.stalled.has(direction)) {
            const wait = held[0].due - performance.now()
            if (wait > 0) {
              timer = setTimeout(deliver, wait)
              return
            }
            const piece = held.shift()
            if (piece === undefined) return
            if (piece.kind === "bytes") heldBytes -= piece.bytes.length
            give(piece)
          }
          if (heldBytes < HELD_BYTES && !sink.writableNeedDrain) source.resume()
        }

        const due = () => performance.now() + faults.latency + faults.jitter * (Math.random() * 2 - 1)

        const receive = (bytes: Buffer) => {
          if (diverted === "cut") return reset()
          const action = faults.hooks[direction]?.(bytes, id) ?? "pass"
          if (action === "cut") return reset()
          if (action !== "pass") {
            connection.flows[opposite[direction]].divert(action === "silence" ? "silence" : "cut")
          }
          held.push({ kind: "bytes", due: due(), bytes })
          heldBytes += bytes.length
          if (heldBytes >= HELD_BYTES) source.pause()
          deliver()
        }

        source.on("data", receive)
        source.on("end", () => {
          held.push({ kind: "end", due: due() })
          deliver()
        })
        source.on("error", () => {
          held.push({ kind: "reset", due: due() })
          deliver()
        })
        source.on("close", () => {
          closed++
          if (closed === 2) live.delete(connection)
        })
        sink.on("drain", deliver)
        sink.on("close", () => clearTimeout(timer))

        return {
          deliver,
          hurry: () => {
            held.splice(0, held.length, ...held.map((piece) => ({ ...piece, due: 0 })))
            deliver()
          },
          end: () => {
            diverted = "silence"
            sink.end()
          },
          divert: (to) => void (diverted ??= to)
        }
      }

      const connection: Connection = {
        flows: { upstream: flow("upstream", client, server), downstream: flow("downstream", server, client) },
        reset,
        remaining: faults.limit
      }
      live.add(connection)
    }

    const listen = Effect.async<ReturnType<typeof createServer>, ServerUnavailable>((resume) => {
      const server = createServer({ allowHalfOpen: true, noDelay: true }, open)
      server.on("error", (cause) =>
        resume(Effect.fail(new ServerUnavailable({ server: "TcpProxy", detail: cause.message }))))
      server.listen(port, "127.0.0.1", () =>
        resume(Effect.succeed(server)))
    })

    let listener: ReturnType<typeof createServer> | undefined = yield* listen
    const eachFlow = (use: (flow: Flow) => void) => {
      for (const connection of live) for (const flow of Object.values(connection.flows)) use(flow)
    }
    const cut = Effect.sync(() => {
      for (const connection of live) connection.reset()
    })
    const refuse = Effect.sync(() => {
      listener?.close()
      listener = undefined
    })
    yield* Effect.addFinalizer(() => Effect.zipRight(refuse, cut))

    return {
      host: "127.0.0.1",
      port,
      pass: Effect.gen(function*() {
        faults = noFaults()
        for (const connection of live) connection.remaining = faults.limit
        eachFlow((flow) => flow.hurry())
        if (listener === undefined) listener = yield* listen
      }),
      latency: (millis, jitter = 0) =>
        Effect.sync(() => {
          faults.latency = millis
          faults.jitter = Math.min(jitter, millis)
        }),
      stall: (direction) =>
        Effect.sync(() => {
          for (const one of direction === undefined ? ["upstream", "downstream"] as const : [direction]) {
            faults.stalled.add(one)
          }
        }),
      cut,
      refuse,
      halfClose: (direction = "downstream") =>
        Effect.sync(() => {
          for (const connection of live) connection.flows[direction].end()
        }),
      limit: (bytes) =>
        Effect.sync(() => {
          faults.limit = bytes
          for (const connection of live) connection.remaining = bytes
        }),
      onUpstream: (hook) => Effect.sync(() => void (faults.hooks.upstream = hook)),
      onDownstream: (hook) => Effect.sync(() => void (faults.hooks.downstream = hook)),
      setTarget: (next) => Effect.sync(() => void (target = next)),
      traffic: Effect.sync(() => ({ live: live.size, accepted, ...delivered })),
      connections: Effect.sync(() => live.size)
    }
  })
