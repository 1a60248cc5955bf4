// Runs every test and ends with one plain line of counts; with HOLDFAST_FORBID_SKIPS=1 a skipped test is a failure, with
// REQUIRE_SERVERS=1 a server that is missing.
import { spawn } from "node:child_process"
import { mkdirSync, readFileSync, rmSync } from "node:fs"
import { constants } from "node:os"
import { fileURLToPath } from "node:url"
import { bundle } from "./bundle.mjs"

const root = fileURLToPath(new URL("..", import.meta.url))
const reportFile = `${root}node_modules/.cache/tests.json`
mkdirSync(`${root}node_modules/.cache`, { recursive: true })

let child
let interrupted
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(name, () => {
    interrupted = name
    child?.kill(name)
  })
}

const run = async (args, env = process.env) => {
  child = spawn(process.execPath, args, { cwd: root, stdio: "inherit", env })
  const code = await new Promise((resolve) => child.on("exit", (exit) => resolve(exit ?? 1)))
  // Workers end with their runner, and every server with its worker.
  if (interrupted !== undefined) process.exit(128 + constants.signals[interrupted])
  return code
}

await bundle()
if (await run(["scripts/ensure-servers.mjs"]) !== 0) process.exit(1)

// One after the other: tests of faults are not to compete with everything else for the machine.
const args = process.argv.slice(2)
const projects = args.some((arg) => arg.startsWith("--project")) ? [undefined] : ["unit", "integration"]
const tests = []
let isRed = false
for (const project of projects) {
  rmSync(reportFile, { force: true })
  const code = await run(
    [
      "node_modules/vitest/vitest.mjs",
      "run",
      "--passWithNoTests",
      // Two files side by side: those that do faults wait more than they work.
      "--minWorkers=1",
      "--maxWorkers=2",
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${reportFile}`,
      ...(project === undefined ? [] : ["--project", project]),
      ...args
    ],
    { ...process.env, HOLDFAST_SERVERS_ENSURED: "1" }
  )
  isRed ||= code !== 0
  const report = JSON.parse(readFileSync(reportFile, "utf8"))
  tests.push(...report.testResults.flatMap((file) => file.assertionResults))
}

const count = (status) => tests.filter((test) => test.status === status).length
const skipped = tests.filter((test) => test.status !== "passed" && test.status !== "failed")
for (const test of skipped) console.log(`skipped: ${test.fullName}`)
const isForbidden = process.env["HOLDFAST_FORBID_SKIPS"] === "1" && skipped.length > 0
if (isForbidden) console.log("skipped tests are forbidden here (HOLDFAST_FORBID_SKIPS=1)")
if (tests.length === 0) console.log("no test file matches")
console.log(`${count("passed")} passed, ${count("failed")} failed`)
process.exit(isRed || isForbidden || tests.length === 0 ? 1 : 0)
