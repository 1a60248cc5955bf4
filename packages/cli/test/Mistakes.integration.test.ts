import { assert, describe, it } from "@effect/vitest"
import * as HoldfastProcess from "@holdfast/testing/HoldfastProcess"
import { Effect } from "effect"
import { join } from "node:path"
import { open, temporary, until } from "./Shop.ts"

/** A port that nothing listens on. */
const NOWHERE = "http://127.0.0.1:2"

/** Runs the command to its end. */
const holdfast = (...args: ReadonlyArray<string>) =>
  Effect.scoped(Effect.gen(function*() {
    const child = yield* HoldfastProcess.run(args)
    const exit = yield* child.exit
    return { exit, ...child.output() }
  }))

describe("an operator's mistakes", () => {
  it.scopedLive("help in a pipe is text alone", () =>
    Effect.gen(function*() {
      const help = yield* holdfast("sagas", "--help")
      assert.include(help.stdout, "--state needs_operator")
      assert.notInclude(help.stdout, "\u001b")
    }), 30_000)

  it.scopedLive("verify says what it reads, and what is not there", () =>
    Effect.gen(function*() {
      const folder = yield* temporary
      const wrong = yield* holdfast("verify", "--data-dir", join(folder, "nowhere"))
      assert.strictEqual(wrong.exit, 1)
      assert.strictEqual(wrong.stdout, `reads files in ${join(folder, "nowhere")}\n\n`)
      assert.match(wrong.stderr, /^holdfast: .*nowhere does not exist: .*HOLDFAST_DATA_DIR\n$/)
    }), 30_000)

  it.scopedLive("a replay says at once what it waits for", () =>
    Effect.gen(function*() {
      const child = yield* HoldfastProcess.run(["replay", "--sample", "--invoices", "1", "--url", NOWHERE])
      const stderr = yield* until(Effect.sync(() => child.output().stderr || undefined))
      assert.strictEqual(
        stderr,
        `waits up to 2m: no agents answer at ${NOWHERE} (connect ECONNREFUSED 127.0.0.1:2)\n`
      )
    }), 30_000)

  it.scopedLive("a replay of less than one invoice is refused", () =>
    Effect.gen(function*() {
      for (const invoices of ["-5", "0"]) {
        const refused = yield* holdfast("replay", "--sample", "--invoices", invoices, "--url", NOWHERE)
        assert.deepInclude(refused, {
          exit: 1,
          stdout: "",
          stderr: "holdfast: --invoices is a number from 1 to 100000\n"
        })
      }
    }), 30_000)

  it.scopedLive(
    "a drill that is too long or too short is refused before anybody is asked",
    () =>
      Effect.gen(function*() {
        for (const seconds of ["61", "0.4"]) {
          const refused = yield* holdfast("drill", "--seconds", seconds, "--url", NOWHERE)
          assert.deepInclude(refused, {
            exit: 1,
            stdout: "",
            stderr: "holdfast: --seconds must be a number of seconds from 0.5 to 60\n"
          })
        }
      }),
    30_000
  )

  it.scopedLive("an agent that the process does not run is said not to be there", () =>
    Effect.gen(function*() {
      const { port } = yield* open(yield* temporary)
      const unknown = yield* holdfast("conflicts", "show", "nope", "x", "--url", `http://127.0.0.1:${port}`)
      assert.deepInclude(unknown, {
        exit: 1,
        stdout: "",
        stderr: "holdfast: there is no agent nope; there are product, order, inventory, payment, fraud\n"
      })
    }), 30_000)

  it.scopedLive("a refusal is shown with its status, what is wrong and what to do", () =>
    Effect.gen(function*() {
      const { port } = yield* open(yield* temporary)
      const url = `http://127.0.0.1:${port}`
      const refused = yield* holdfast("conflicts", "show", "product", "nope", "--url", url)
      assert.strictEqual(refused.exit, 1)
      assert.match(
        refused.stderr,
        /^holdfast: GET \/product\/conflicts\/nope: 404 Not found\. Check the id and the path/
      )
    }), 30_000)
})
