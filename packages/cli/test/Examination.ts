import { assert } from "@effect/vitest"
import * as KafkaConfig from "@holdfast/agent/KafkaConfig"
import * as PostgresConfig from "@holdfast/agent/PostgresConfig"
import * as RedisConfig from "@holdfast/agent/RedisConfig"
import { Effect } from "effect"
import * as Doctor from "../src/Doctor/Doctor.ts"
import type { Finding } from "../src/Doctor/Finding.ts"

const variables = [...PostgresConfig.variables, ...KafkaConfig.variables, ...RedisConfig.variables]

/** Whatever the environment of the tests has configured. */
const nothing = Object.fromEntries([...variables, "HOLDFAST_DATA_DIR", "HOLDFAST_HOST"].map((name) => [name, ""]))

/** What the doctor finds with these variables alone, and how long it looked. */
export const examine = (given: Readonly<Record<string, string>>) =>
  Effect.suspend(() => {
    const started = performance.now()
    return Effect.map(
      Doctor.run({ ...nothing, HOLDFAST_PORT: "0", HOLDFAST_HASH_KEY: "a key", ...given }),
      (findings) => ({ findings, millis: performance.now() - started })
    )
  })

/** What is not in order. */
export const faults = (findings: ReadonlyArray<Finding>) =>
  findings.filter(({ status }) => status !== "ok").map(({ check, code, status }) => `${status} ${check} ${code}`)

/** Looks, and expects this to be all that is not in order; each of it with a way out. */
export const expectFaults = (given: Readonly<Record<string, string>>, expected: ReadonlyArray<string>) =>
  Effect.map(examine(given), ({ findings }) => {
    assert.deepStrictEqual(faults(findings), expected, JSON.stringify(findings, null, 2))
    for (const { fix, seen, status } of findings) {
      assert.strictEqual(fix !== undefined, status !== "ok")
      assert.notInclude(seen, "\n")
    }
    return findings
  })
