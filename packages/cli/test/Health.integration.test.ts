import { assert, describe, it } from "@effect/vitest"
import * as HoldfastProcess from "@holdfast/testing/HoldfastProcess"
import { Effect, Schema } from "effect"
import { spawnSync } from "node:child_process"
import { temporary, until } from "./Shop.ts"

const Change = Schema.parseJson(Schema.Struct({ time: Schema.String, subject: Schema.String, change: Schema.String }))

/** Until the command has written a line like this. */
const line = (command: HoldfastProcess.HoldfastProcess, pattern: RegExp, after = 0) =>
  until(Effect.sync(() => {
    const found = command.output().stdout.slice(after).match(pattern)
    return found === null ? undefined : found
  }))

describe("holdfast health", () => {
  it.scopedLive("watches processes of one agent each: what comes, goes and comes back", () =>
    Effect.gen(function*() {
      const dataDir = yield* temporary
      const [one, two] = yield* Effect.replicateEffect(HoldfastProcess.freePort, 2)
      const urls = [one, two].flatMap((port) => ["--url", `http://127.0.0.1:${port}`])
      const order = yield* HoldfastProcess.start({ port: one ?? 0, dataDir, agents: ["order"] })
      const watching = yield* HoldfastProcess.run(["health", "--watch", "--interval", "100ms", ...urls])
      yield* line(watching, /^\S+Z {2}order {2}ready, level 0 full; sqlite pass/m)
      yield* line(watching, new RegExp(`127.0.0.1:${two} {2}does not answer: .*ECONNREFUSED`))
      yield* HoldfastProcess.start({ port: two ?? 0, dataDir, agents: ["product"] })
      yield* line(watching, /^\S+Z {2}product {2}/m)

      const soFar = watching.output().stdout.length
      order.signal("SIGKILL")
      yield* order.exit
      yield* line(watching, new RegExp(`127.0.0.1:${one} {2}does not answer`), soFar)
      const again = yield* HoldfastProcess.start({ port: one ?? 0, dataDir, agents: ["order"] })
      yield* line(watching, /^\S+Z {2}order {2}/m, soFar)

      const running = watching.output().stdout.length
      again.signal("SIGSTOP")
      yield* line(watching, new RegExp(`127.0.0.1:${one} {2}does not answer`), running)
      again.signal("SIGCONT")
      yield* line(watching, /^\S+Z {2}order {2}/m, running)

      const before = watching.output().stdout.length
      const asJson = yield* HoldfastProcess.run(["health", "--watch", "--json", "--interval", "100ms", ...urls])
      yield* line(asJson, /"subject":"product"/)
      for (const text of asJson.output().stdout.trim().split("\n")) yield* Schema.decode(Change)(text)
      assert.strictEqual(watching.output().stdout.length, before, "nothing has changed, nothing is written")
      watching.signal("SIGINT")
      assert.strictEqual(yield* watching.exit, 0)
    }), 60_000)

  it.scopedLive("says once how agents are; exit code 1 when they do not answer", () =>
    Effect.gen(function*() {
      const port = yield* HoldfastProcess.freePort
      const url = `http://127.0.0.1:${port}`
      const silent = yield* HoldfastProcess.run(["health", "--url", url])
      assert.strictEqual(yield* silent.exit, 1)
      assert.match(silent.output().stderr, /^holdfast: no agents answer at http:\S+ \(start them with npm start/)
      const wrong = yield* HoldfastProcess.run(["health", "--watch", "--interval", "1 day"])
      assert.strictEqual(yield* wrong.exit, 1)
      assert.strictEqual(wrong.output().stderr, "holdfast: --interval must be a time from 100 ms to 1 h, e.g. 1s\n")

      yield* HoldfastProcess.start({ port, dataDir: yield* temporary, agents: ["order", "fraud"] })
      const both = yield* HoldfastProcess.run(["health", "--url", url])
      assert.strictEqual(yield* both.exit, 0)
      assert.match(both.output().stdout, /^agent .*\norder +ready +0 full .*\nfraud +ready +0 full /)
      const whole = yield* HoldfastProcess.run(["health", "--json"], { HOLDFAST_PORT: String(port) })
      assert.strictEqual(yield* whole.exit, 0)
      assert.strictEqual(JSON.parse(whole.output().stdout).degradationLevel, 0)
    }), 60_000)

  it.scopedLive.skipIf(spawnSync("script", ["--version"]).status !== 0)(
    "draws in place on a terminal",
    () =>
      Effect.gen(function*() {
        const port = yield* HoldfastProcess.freePort
        yield* HoldfastProcess.start({ port, dataDir: yield* temporary, agents: ["order"] })
        const command =
          `${process.execPath} scripts/holdfast.mjs health --watch --interval 100ms --url http://127.0.0.1:${port}`
        // A terminal of 100 columns; Ctrl-C after four seconds, of which a busy machine needs some for the start.
        const drawn = spawnSync(
          "script",
          ["-qec", `stty cols 100 rows 30; timeout -s INT 4 ${command}; echo "exit $?"`, "/dev/null"],
          { encoding: "utf8", timeout: 20_000 }
        ).stdout
        assert.isAbove(drawn.split("\u001b[H").length, 3, drawn)
        assert.match(drawn, /order +ready +0 full/)
        assert.isTrue(drawn.includes("\u001b[?25h"), "the cursor is shown again")
      }),
    60_000
  )
})
