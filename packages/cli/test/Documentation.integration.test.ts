import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../..", import.meta.url))

describe("Documentation", () => {
  it("errors, commands and examples are shown as the code has them", () => {
    const checked = spawnSync(process.execPath, ["scripts/generate-docs.mjs", "--check"], {
      cwd: root,
      encoding: "utf8"
    })
    assert.strictEqual(checked.status, 0, checked.stdout + checked.stderr)
  })
})
