// The checks beside the tests: types, Effect's diagnostics, lint and format, and the directions of dependencies.
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))

const checks = [
  ["types", ["node_modules/typescript/bin/tsc", "-p", "tsconfig.json"]],
  ["Effect diagnostics", [
    "node_modules/@effect/language-service/cli.js",
    "diagnostics",
    "--project",
    "tsconfig.json",
    "--strict"
  ]],
  ["lint and format", ["node_modules/eslint/bin/eslint.js", "--cache", "--cache-location", "node_modules/.cache/eslint", "."]],
  ["dependency directions", ["scripts/check-dependencies.mjs"]]
]

let failed = 0
for (const [name, args] of checks) {
  console.log(`— ${name}`)
  const child = spawn(process.execPath, args, { cwd: root, stdio: "inherit" })
  const code = await new Promise((resolve) => child.on("exit", (exit) => resolve(exit ?? 1)))
  if (code !== 0) {
    failed++
    console.log(`✗ ${name}`)
  }
}
process.exit(failed === 0 ? 0 : 1)
