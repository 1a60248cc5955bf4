// Writes what the docs take from the code: docs/errors.md, docs/commands.md and the examples in README.md. With --check it
// writes nothing and fails when a file is out of date.
import { build } from "esbuild"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath, pathToFileURL } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))

/** The program's own modules, bundled: every agent, and every error that contracts declare. */
const load = async () => {
  const errors = readdirSync(`${root}packages/contracts/src`).filter((file) => file.endsWith("Errors.ts"))
  const outfile = `${root}dist/generate-docs.mjs`
  await build({
    absWorkingDir: root,
    stdin: {
      contents: `${errors.map((file) => `import "./packages/contracts/src/${file}"`).join("\n")}
        export { agents } from "./packages/cli/src/Agents.ts"
        export * as Surfaces from "./packages/agent/src/Surfaces.ts"
        export * as KernelApi from "./packages/agent/src/KernelApi.ts"
        import "./packages/agent/src/HttpErrors.ts"
        export * as Problem from "./packages/contracts/src/Problem.ts"
        export { CommandPolicy } from "./packages/contracts/src/CommandPolicy.ts"
        export { Summary } from "./packages/contracts/src/Documentation.ts"`,
      resolveDir: root,
      loader: "ts"
    },
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    external: ["better-sqlite3"],
    // The imports of errors are made for what they declare.
    ignoreAnnotations: true,
    logLevel: "warning",
    banner: {
      js: "import{createRequire as __createRequire}from\"node:module\";const require=__createRequire(import.meta.url);"
    }
  })
  return import(pathToFileURL(outfile).href)
}

const { agents, CommandPolicy, KernelApi, Problem, Summary, Surfaces } = await load()
const all = agents({ dataDir: "", host: "127.0.0.1", port: () => 0, peers: { of: {}, others: undefined } })

const annotation = (endpoint, tag) => endpoint.annotations.unsafeMap.get(tag.key)

const cell = (text) => text.replaceAll("|", "\\|").replaceAll("\n", " ")
const table = (header, rows) =>
  [header, header.map(() => "---"), ...rows].map((row) => `| ${row.map(cell).join(" | ")} |`).join("\n")

const byName = (one, other) => (one < other ? -1 : one > other ? 1 : 0)

const generated = (source) =>
  `<!-- Generated from ${source} by \`node scripts/generate-docs.mjs\`; a test compares. -->`

// --- docs/errors.md --------------------------------------------------------------------------------------------------

const problemAnnotation = Symbol.for("@holdfast/contracts/Problem")

/** The codes of a union of errors. */
const codesOf = (ast) => {
  if (ast._tag === "Union") return ast.types.flatMap(codesOf)
  const problem = (ast._tag === "Transformation" ? ast.to : ast).annotations[problemAnnotation]
  return problem === undefined ? [] : [problem.code]
}

const declared = new Map()
const declare = (codes, agent) => {
  for (const code of codes) declared.set(code, (declared.get(code) ?? new Set()).add(agent))
}
for (const agent of all) {
  for (const { api } of Surfaces.of(agent)) {
    declare(codesOf(api.errorSchema.ast), agent.name)
    for (const endpoint of Surfaces.endpoints(api)) declare(codesOf(endpoint.errorSchema.ast), agent.name)
  }
}
/** What no endpoint declares comes from the HTTP server, in front of every agent. */
const ownersOf = (code) => {
  const owners = declared.get(code) ?? new Set()
  return owners.size === 0 || owners.size === all.length ? ["every"] : [...owners].sort()
}

const isRetryable = ({ recovery }) => recovery === "retry" || recovery === "degrade"

const errorRow = (problem) => [
  `\`${problem.code}\``,
  String(problem.status),
  `${problem.title}. ${problem.detail}`,
  problem.severity,
  problem.recovery,
  isRetryable(problem) ? "yes" : "no"
]

const errorSection = (title, problems) => [
  `## ${title}`,
  "",
  table(["code", "status", "what it means and what to do", "severity", "recovery", "retryable"], problems.map(errorRow)),
  ""
]

const errorsPage = () => {
  const groups = new Map()
  for (const problem of Problem.all()) {
    const owner = ownersOf(problem.code).join(", ")
    groups.set(owner, [...(groups.get(owner) ?? []), problem])
  }
  const every = groups.get("every") ?? []
  groups.delete("every")
  return [
    "# Errors",
    "",
    generated("the errors' own declarations"),
    "",
    "Every error answer is `application/problem+json` (RFC 9457). `code` is stable: programs decide by it. `detail` says",
    "what to do. An error's own fields (such as `issues`) stand beside these. `retryable` is true where `recovery` is `retry`",
    "or `degrade`; the answer then carries `Retry-After`, and the same request may be sent again with the same",
    "`Idempotency-Key`.",
    "",
    ...errorSection("Every agent", every),
    ...[...groups].sort(([one], [other]) => byName(one, other)).flatMap(([owner, problems]) =>
      errorSection(`${owner[0].toUpperCase()}${owner.slice(1)}`, problems)
    )
  ].join("\n")
}

// --- docs/commands.md ------------------------------------------------------------------------------------------------

const commandRows = (api, prefix) =>
  Surfaces.endpoints(api).flatMap((endpoint) => {
    const policy = annotation(endpoint, CommandPolicy)
    return policy === undefined ? [] : [[
      annotation(endpoint, Summary) ?? endpoint.name,
      `\`${endpoint.method} ${prefix}${endpoint.path}\``,
      policy.writeClass,
      policy.idempotencyKey,
      policy.ifMatch ?? ""
    ]]
  })

const commandHeader = ["command", "route", "write class", "Idempotency-Key", "If-Match"]

const messageRows = (agent) =>
  [...agent.subscriptions, ...agent.parts.flatMap((part) => part.subscriptions)]
    .filter(({ topic }) => topic === `ecom.${agent.name}.commands.v1`)
    .map(({ type, writeClass }) => [`\`${type}\``, writeClass])
    .sort(([one], [other]) => byName(one, other))

const heardBy = (agent) => [
  ...new Set(
    [...agent.subscriptions, ...agent.parts.flatMap((part) => part.subscriptions)]
      .filter(({ topic }) => topic !== `ecom.${agent.name}.commands.v1`)
      .map(({ type }) => `\`${type}\``)
  )
].sort(byName)

const commandsPage = () =>
  [
    "# Commands",
    "",
    generated("the endpoints and subscriptions of the agents"),
    "",
    "Everything that writes. Reads are in `/docs` of a running process, with every schema.",
    "",
    "**Write class**: what the command may do while the primary database is away and the local store stands in:",
    "`mergeable` runs, `bounded` runs within a bound, `provisional` is kept as an intent, `refused` is answered 503. In this",
    "version the local store is the primary, so that all of them run.",
    "",
    "**Idempotency-Key** `required`: without it the request is refused (`idempotency_key_required`). `optional`: with it a",
    "repeated request takes effect once; without it each request is a new one. **If-Match** `required`: send the `ETag` you",
    "read; a stale one is refused (`version_conflict`).",
    "",
    ...all.flatMap((agent) => {
      const surfaces = Surfaces.of(agent).filter(({ api }) => api !== KernelApi.KernelApi)
      const messages = messageRows(agent)
      const heard = heardBy(agent)
      return [
        `## ${agent.title} (\`${agent.name}\`)`,
        "",
        table(commandHeader, surfaces.flatMap(({ api }) => commandRows(api, `/${agent.name}`))),
        "",
        ...(messages.length === 0
          ? []
          : ["Commands that come as messages, each handled once:", "", table(["message", "write class"], messages), ""]),
        ...(heard.length === 0 ? [] : [`Listens to ${heard.join(", ")}.`, ""])
      ]
    }),
    "## Every agent",
    "",
    table(commandHeader, commandRows(KernelApi.KernelApi, "/{agent}")),
    ""
  ].join("\n")

// --- README.md -------------------------------------------------------------------------------------------------------

const read = (path) => readFileSync(`${root}${path}`, "utf8")

/** A paragraph that ends with the path of a file is followed by the file. */
const withFiles = (text) =>
  text.replaceAll(
    /(\[`([\w./]+\.ts)`\]\([\w./]+\):\n\n```ts\n).*?```/gs,
    (_, head, path) => `${head}${read(path)}\`\`\``
  )

// ---------------------------------------------------------------------------------------------------------------------

const pages = {
  "docs/errors.md": errorsPage(),
  "docs/commands.md": commandsPage(),
  "README.md": withFiles(read("README.md"))
}

const current = (path) => {
  try {
    return read(path)
  } catch {
    return undefined
  }
}
const outdated = Object.entries(pages).filter(([path, text]) => current(path) !== text)
if (process.argv.includes("--check")) {
  for (const [path] of outdated) console.log(`${path} is out of date: run node scripts/generate-docs.mjs`)
  process.exit(outdated.length === 0 ? 0 : 1)
}
mkdirSync(`${root}docs`, { recursive: true })
for (const [path, text] of outdated) {
  writeFileSync(`${root}${path}`, text)
  console.log(`written: ${path}`)
}
