// Runs the scenarios with faults (packages/*/test/chaos/*.integration.test.ts), one after the other, and prints what each
// has met. A seed repeats a run's choices.
//   npm run chaos                         all of them, in their short form, with a new seed
//   npm run chaos -- kill stall --long    those whose name contains "kill" or "stall", for minutes
//   npm run chaos -- --seed 7             with the choices of seed 7
//   npm run chaos -- replay --long --folder invoices    days of the retailer, one CSV file each, instead of made-up ones
import { spawn } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { constants } from "node:os"
import { resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { bundle } from "./bundle.mjs"

const root = fileURLToPath(new URL("..", import.meta.url))

const usage = (problem) => {
  console.error(`chaos: ${problem}\nusage: npm run chaos -- [names …] [--seed N] [--long] [--folder FOLDER]`)
  process.exit(2)
}

const options = () => {
  try {
    return parseArgs({
      allowPositionals: true,
      options: { seed: { type: "string" }, long: { type: "boolean", default: false }, folder: { type: "string" } }
    })
  } catch (error) {
    return usage(error.message.split(". ")[0])
  }
}
const { positionals, values } = options()
if (values.seed !== undefined && !/^\d{1,9}$/.test(values.seed)) usage("a seed is a number of at most nine digits")
const seed = values.seed ?? String(Math.floor(Math.random() * 1e9))

const scenarios = readdirSync(`${root}packages`).flatMap((name) => {
  try {
    return readdirSync(`${root}packages/${name}/test/chaos`)
      .filter((file) => file.endsWith(".integration.test.ts"))
      .map((file) => ({
        name: file.slice(0, -".integration.test.ts".length),
        file: `packages/${name}/test/chaos/${file}`
      }))
  } catch {
    return []
  }
})
const plain = (name) => name.toLowerCase().replaceAll("-", "")
const unknown = positionals.filter((wanted) => !scenarios.some(({ name }) => plain(name).includes(plain(wanted))))
if (unknown.length > 0) {
  usage(`there is no scenario ${unknown.join(", ")}; there are ${scenarios.map(({ name }) => name).join(", ")}`)
}
const chosen = scenarios.filter(({ name }) =>
  positionals.length === 0 || positionals.some((wanted) => plain(name).includes(plain(wanted)))
)

const report = `${root}node_modules/.cache/chaos/report.jsonl`
mkdirSync(`${root}node_modules/.cache/chaos`, { recursive: true })
rmSync(report, { force: true })

let child
let interrupted
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(name, () => {
    interrupted = name
    child?.kill(name)
  })
}
const run = async (args, env) => {
  child = spawn(process.execPath, args, { cwd: root, stdio: "inherit", env: { ...process.env, ...env } })
  const code = await new Promise((resolve) => child.on("exit", (exit) => resolve(exit ?? 1)))
  if (interrupted !== undefined) process.exit(128 + constants.signals[interrupted])
  return code
}

console.log(`seed ${seed}, ${values.long ? "long" : "short"} form: ${chosen.map(({ name }) => name).join(", ")}\n`)
await bundle()
if (await run(["scripts/ensure-servers.mjs"], {}) !== 0) process.exit(1)
const code = await run(
  ["node_modules/vitest/vitest.mjs", "run", "--project", "integration", ...chosen.map(({ file }) => file)],
  {
    REQUIRE_SERVERS: "1",
    HOLDFAST_SERVERS_ENSURED: "1",
    HOLDFAST_CHAOS_SEED: seed,
    HOLDFAST_CHAOS_REPORT: report,
    ...values.long ? { HOLDFAST_CHAOS_LONG: "1" } : {},
    ...values.folder === undefined ? {} : { HOLDFAST_CHAOS_FOLDER: resolve(values.folder) }
  }
)

const lines = (() => {
  try {
    return readFileSync(report, "utf8").trim().split("\n").map((line) => JSON.parse(line))
  } catch {
    return []
  }
})()
for (const { form, scenario, seconds, seed: _, ...met } of lines) {
  console.log(`\n${scenario} (${form}, ${seconds} s)`)
  for (const [what, figure] of Object.entries(met)) console.log(`  ${String(figure).padStart(8)}  ${what}`)
}
console.log(code === 0 ? `\nall promises kept under seed ${seed}` : `\nagain with: npm run chaos -- --seed ${seed}`)
process.exit(code)
