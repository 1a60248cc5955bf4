/** From spawning the program to its first 200, and the memory it rests in. */
import type { Aim, Bench, Options, Row } from "@holdfast/resilience/bench/Bench"
import { compare, interleave, storeFolder } from "@holdfast/resilience/bench/Bench"
import { join } from "node:path"
import type { Server } from "./Server.ts"
import { spawnUntilReady, start } from "./Server.ts"

const bareNode = (): Promise<Server> =>
  spawnUntilReady((port) => [
    "-e",
    `require("node:http").createServer((_, response) => response.end("ok")).listen(${port}, "127.0.0.1")`
  ], "/")

const REST_MILLIS = 1200

const run = async ({ progress, quick }: Options): Promise<ReadonlyArray<Row>> => {
  const folder = storeFolder()
  const rss: Record<string, Array<number>> = {}
  let empty = 0
  const measure = (name: string, begin: () => Promise<Server>) => async () => {
    const server = await begin()
    await new Promise((resolve) => setTimeout(resolve, REST_MILLIS))
    ;(rss[name] ??= []).push(server.usage()?.rssMiB ?? NaN)
    await server.kill()
    return server.readyMillis
  }
  const existing = join(folder.path, "existing")
  const bare = "a bare node:http server"
  try {
    // Makes the stores, and the bundle's pages are in the cache.
    await (await start(existing)).kill()
    const times = await interleave(
      {
        empty: measure("empty", () => start(join(folder.path, `empty-${empty++}`))),
        existing: measure("existing", () => start(existing)),
        [bare]: measure(bare, bareNode)
      },
      quick ? 3 : 7,
      progress
    )
    const beside = (name: string, unit: string, figures: typeof times, ours: string, aims: Record<string, Aim> = {}) =>
      compare(name, unit, { [ours]: figures[ours] ?? [], [bare]: figures[bare] ?? [] }, ours, aims)
    const withinASecond: Record<string, Aim> = { [bare]: { of: "ours", atMost: 1000 } }
    return [
      ...beside("first 200, no stores yet", "ms", times, "empty", withinASecond),
      ...beside("first 200, existing stores", "ms", times, "existing", withinASecond),
      ...beside("idle RSS, existing stores", "MiB", rss, "existing")
    ]
  } finally {
    folder.remove()
  }
}

export const bench: Bench = {
  title: "Start-up",
  how: "From spawning `node scripts/holdfast.mjs start` with all agents, bundled before, to the first 200 of " +
    "`/health/ready`, asked for all the time; once on a folder without stores, which are then made, and once on stores " +
    "whose process was killed. RSS 1.2 s later, from /proc. The median of 7 starts. The peer, a Node server that does " +
    "nothing, is the floor. Less is better.",
  run
}
