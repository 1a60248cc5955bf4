// Runs the benches (packages/*/bench/*.bench.ts), each bundled and in a process of its own, and prints one table.
//   npm run bench                      all of them, several minutes
//   npm run bench -- guard --quick     those whose name contains "guard", fewer rounds
//   npm run bench -- --write           all of them, into docs/benchmarks.md
import { build } from "esbuild"
import { fork } from "node:child_process"
import {
  closeSync,
  fdatasyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync
} from "node:fs"
import { arch, cpus, loadavg, release, totalmem, type } from "node:os"
import { fileURLToPath, pathToFileURL } from "node:url"
import { parseArgs } from "node:util"
import { bundle } from "./bundle.mjs"

const root = fileURLToPath(new URL("..", import.meta.url))

const usage = (problem) => {
  console.error(`bench: ${problem}\nusage: npm run bench -- [names …] [--quick] [--write]`)
  process.exit(2)
}

const options = () => {
  try {
    return parseArgs({
      allowPositionals: true,
      options: { quick: { type: "boolean", default: false }, write: { type: "boolean", default: false } }
    })
  } catch (error) {
    return usage(error.message.split(". ")[0])
  }
}
const { positionals, values: { quick, write } } = options()

const all = readdirSync(`${root}packages`).flatMap((name) => {
  try {
    return readdirSync(`${root}packages/${name}/bench`)
      .filter((file) => file.endsWith(".bench.ts"))
      .map((file) => ({ name: file.slice(0, -".bench.ts".length), file: `packages/${name}/bench/${file}` }))
  } catch {
    return []
  }
}).sort((a, b) => (a.name < b.name ? -1 : 1))
const plain = (name) => name.toLowerCase().replaceAll("-", "")
const unknown = positionals.filter((wanted) => !all.some(({ name }) => plain(name).includes(plain(wanted))))
if (unknown.length > 0) {
  usage(`there is no bench ${unknown.join(", ")}; there are ${all.map(({ name }) => name).join(", ")}`)
}
if (write && positionals.length > 0) usage("--write writes the whole report: leave the names out")
const chosen = positionals.length === 0
  ? all
  : all.filter(({ name }) => positionals.some((wanted) => plain(name).includes(plain(wanted))))

const outdir = `${root}dist/bench`
mkdirSync(outdir, { recursive: true })

const fdatasyncMillis = () => {
  const path = `${outdir}/fdatasync`
  const file = openSync(path, "w")
  const times = Array.from({ length: 100 }, () => {
    const begun = performance.now()
    writeSync(file, Buffer.alloc(4096, 1))
    fdatasyncSync(file)
    return performance.now() - begun
  })
  closeSync(file)
  rmSync(path)
  return times.sort((a, b) => a - b)[50]
}

// Disks and neighbours have phases: figures of durable work mean little without this beside them.
const conditions = () =>
  `load average ${loadavg()[0].toFixed(2)}, one fdatasync of 4 KiB in ${fdatasyncMillis().toFixed(2)} ms`

const machine = () => [
  `${cpus().length} × ${cpus()[0]?.model ?? "unknown CPU"}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB of memory`,
  `${type()} ${release()} ${arch()}, Node ${process.version}`,
  conditions()
]

/** One line that changes; where there is no terminal, a line now and then. */
let shownAt = 0
const progress = (line) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}`)
  else if (line !== "" && performance.now() - shownAt > 2000) {
    process.stderr.write(`${line}\n`)
    shownAt = performance.now()
  }
}

/** Servers for tests are found, fetched and guarded by files that lie beside their module: it must know its own place. */
const ownPlace = {
  name: "own place",
  setup: ({ onLoad }) =>
    onLoad({ filter: /packages.testing.src.+\.ts$/ }, ({ path }) => ({
      loader: "ts",
      contents: readFileSync(path, "utf8").replaceAll("import.meta.url", JSON.stringify(pathToFileURL(path).href))
    }))
}

/** In a process of its own, so that the heap and the compiled code of one bench are nothing to the next. */
const run = async ({ file, name }) => {
  const outfile = `${outdir}/${name}.mjs`
  await build({
    stdin: {
      contents: `import { bench } from "./${file}"
        // An exit, and not a death, so that servers are stopped and stores removed.
        for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1))
        const progress = (what) => process.send({ progress: what })
        const { how, title } = bench
        try {
          process.send({ title, how, rows: await bench.run({ quick: ${quick}, progress }) })
        } catch (error) {
          // Without a real server, say, there is nothing to measure: the others go on.
          console.error(error)
          process.send({ title, how, rows: [], missing: error.message }, () => process.exit())
        }
        process.disconnect()`,
      resolveDir: root
    },
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    external: ["better-sqlite3"],
    plugins: [ownPlace],
    logLevel: "warning",
    banner: {
      js: "import{createRequire as __createRequire}from\"node:module\";const require=__createRequire(import.meta.url);"
    }
  })
  const child = fork(outfile, { cwd: root, stdio: ["ignore", 2, 2, "ipc"], serialization: "advanced" })
  let result
  child.on("message", (message) => {
    if (message.progress === undefined) result = message
    else progress(`${name}: ${message.progress}`)
  })
  const stop = (signal) => {
    child.kill(signal)
    child.once("exit", () => process.exit(130))
  }
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, stop)
  const code = await new Promise((resolve) => child.on("exit", (exit, signal) => resolve(exit ?? signal)))
  for (const signal of ["SIGINT", "SIGTERM"]) process.off(signal, stop)
  progress("")
  return result ?? { title: name, rows: [], missing: `it ended with ${code}` }
}

const number = (value) => {
  if (!Number.isFinite(value)) return "–"
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3
  return value.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

const isMet = ({ aim, ours, peer }) => {
  const figure = aim.of === "ratio" ? peer.ratio : ours
  if (!Number.isFinite(figure)) return false
  return aim.atMost === undefined ? figure >= aim.atLeast : figure <= aim.atMost
}

const aimOf = ({ aim, unit }) => {
  const bound = aim.atMost === undefined ? `≥ ${aim.atLeast}` : `≤ ${aim.atMost}`
  return aim.of === "ratio" ? `ratio ${bound}` : `${bound} ${unit}`
}

const header = ["", "ours", "peer", "peer's", "ratio", "aim", "met"]
const cells = (row) => [
  row.name,
  `${number(row.ours)} ${row.unit}`,
  row.peer?.name ?? "",
  row.peer === undefined ? "" : `${number(row.peer.value)} ${row.unit}`,
  row.peer === undefined ? "" : number(row.peer.ratio),
  row.aim === undefined ? "" : aimOf(row),
  row.aim === undefined ? "" : isMet(row) ? "yes" : "NO"
]
const isNumeric = (column) => column === 1 || column === 3 || column === 4

const table = (rows) => {
  const lines = [header, ...rows.map(cells)]
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column].length)))
  return lines.map((line) =>
    line.map((cell, column) => isNumeric(column) ? cell.padStart(widths[column]) : cell.padEnd(widths[column]))
      .join("  ").trimEnd()
  ).join("\n")
}

const markdown = (described, results) =>
  [
    "# Benchmarks",
    "",
    `Written by \`npm run bench -- --write\`${quick ? " `--quick` (a quick run: fewer rounds)" : ""} on ${
      new Date().toISOString().slice(0, 10)
    }.`,
    "",
    ...described.map((line) => `- ${line}`),
    "",
    "Absolute figures move with the machine and with what else it does; a ratio compares what ran in turns.",
    "`ratio` is ours divided by the peer's, the median over the rounds.",
    ...results.flatMap(({ after, before, how, rows, title }) => [
      "",
      `## ${title}`,
      "",
      how,
      "",
      `| ${header.join(" | ")} |`,
      `|${header.map((_, column) => (isNumeric(column) ? "---:" : "---")).join("|")}|`,
      ...rows.map((row) => `| ${cells(row).join(" | ")} |`),
      "",
      `Before: ${before}. After: ${after}.`
    ]),
    ""
  ].join("\n")

await bundle()
const described = machine()
console.log(`${described.join("\n")}\n`)
const results = []
for (const one of chosen) {
  const before = conditions()
  const result = { ...await run(one), before, after: conditions() }
  results.push(result)
  console.log(
    result.missing === undefined
      ? `${result.title}\n${table(result.rows)}\nbefore: ${before}; after: ${result.after}\n`
      : `NOT MEASURED: ${result.title}\n${result.missing}\n`
  )
}
const absent = results.filter(({ missing }) => missing !== undefined)
// A report that leaves something out looks as if there were nothing else.
if (write && absent.length > 0) console.log("docs/benchmarks.md is left as it is")
else if (write) {
  mkdirSync(`${root}docs`, { recursive: true })
  writeFileSync(`${root}docs/benchmarks.md`, markdown(described, results))
  console.log("written to docs/benchmarks.md")
}
const missed = results.flatMap(({ rows }) => rows.filter((row) => row.aim !== undefined && !isMet(row)))
for (const row of missed) {
  console.log(`missed: ${row.name}, ${aimOf(row)}${row.aim.of === "ratio" ? ` to ${row.peer.name}` : ""}`)
}
for (const { missing, title } of absent) console.log(`NOT MEASURED: ${title}: ${missing}`)
process.exit(missed.length + absent.length === 0 ? 0 : 1)
