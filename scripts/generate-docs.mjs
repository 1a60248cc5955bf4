// Writes what the docs take from the code: docs/errors.md, docs/commands.md, the tables of docs/degradation.md and the
// examples in README.md. With --check it writes nothing and fails when a file is out of date.
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
        export * as CommandFate from "./packages/agent/src/CommandFate.ts"
        export * as ProblemJson from "./packages/agent/src/ProblemJson.ts"
        export * as Failure from "./packages/resilience/src/Failure.ts"
        export * as PostgresError from "./packages/database/src/PostgresError.ts"
        export * as KafkaError from "./packages/messaging/src/KafkaError.ts"
        export * as Redis from "./packages/cache/src/Redis.ts"
        export { ChangesOutside, CommandPolicy } from "./packages/contracts/src/CommandPolicy.ts"
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

const {
  agents,
  ChangesOutside,
  CommandFate,
  CommandPolicy,
  Failure,
  KafkaError,
  KernelApi,
  PostgresError,
  Problem,
  ProblemJson,
  Redis,
  Summary,
  Surfaces
} = await load()
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

/** What a class of the file says of itself, in one line. */
const docOf = (path, name) => {
  const source = readFileSync(`${root}${path}`, "utf8")
  const at = source.search(new RegExp(`^export class ${name}\\b`, "m"))
  const comment = source.slice(source.lastIndexOf("/**", at), at)
  return comment
    .replaceAll(/^\/\*\*|\*\/$|^ \* ?/gm, "")
    .split(/\n@/)[0]
    .trim()
    .replaceAll(/\s+/g, " ")
}

/** The reasons that a failure tells apart, where its schema lists them. */
const reasonsOf = (failure) => {
  const literals = failure?.fields?.reason?.ast ?? failure?.fields?.kind?.ast
  return literals?._tag === "Union" ? literals.types.map(({ literal }) => `\`${literal}\``).join(", ") : ""
}

/** Failures of a classifier; `samples` are told apart by more than their tag. */
const failureRows = (path, module, classifier, samples = {}) =>
  classifier.tags.flatMap((tag) =>
    (samples[tag] ?? [{ note: "" }]).map(({ note, ...fields }) => [
      `\`${tag}\`${note === "" ? "" : ` ${note}`}`,
      docOf(path, tag),
      reasonsOf(module[tag]),
      classifier.severity({ _tag: tag, ...fields }),
      classifier.recovery({ _tag: tag, ...fields })
    ])
  )

const failureHeader = ["failure", "what it means", "reasons", "severity", "recovery"]

/** The configuration's faults that Postgres can tell, with what to do: one code for each. */
const misconfigured = ["28P01", "3D000", "42501", "3F000", "ENOTFOUND", "SELF_SIGNED_CERT_IN_CHAIN"].map((code) => {
  const { fix, reason } = PostgresError.classify({ code, message: "" })
  return [`\`${reason}\``, fix]
})

/** Failures of stores as clients see them. */
const storeRows = () =>
  ["StoreUnavailable", "OutcomeUnknown", "WriteRefused", "OperationIdReused", "ConstraintViolated", "MessageTooLarge", "RowMissing"].map(
    (tag) => {
      const face = ProblemJson.publicError({ _tag: tag, kind: "check", table: "", key: "", operationId: "", type: "", bytes: 0, limitBytes: 0 })
      return [`\`${tag}\``, docOf("packages/database/src/StoreError.ts", tag), `\`${Problem.of(face).code}\``]
    }
  )

const starts = [
  ["packages/agent/src/AgentConfig.ts", "ConfigInvalid"],
  ["packages/agent/src/HttpServer.ts", "ListenFailed"],
  ["packages/cli/src/Agents.ts", "AgentUnknown"]
]

const insidePage = () => [
  "## Inside",
  "",
  "What agents meet themselves. Clients see none of these; logs and `/health/detailed` do (`lastError`, `output`). Severity and",
  "recovery follow from the kind of failure: `retry` is tried again, `fallback` means that something else stands in (SQLite",
  "for Postgres, memory for Redis), `degrade` that this part waits and the rest goes on, `fail` that no repetition helps.",
  "",
  "### Postgres",
  "",
  table(failureHeader, failureRows("packages/database/src/PostgresError.ts", PostgresError, PostgresError.failures)),
  "",
  "`PostgresMisconfigured` says what to do:",
  "",
  table(["reason", "do"], misconfigured),
  "",
  "### Kafka",
  "",
  table(failureHeader, failureRows("packages/messaging/src/KafkaError.ts", KafkaError, KafkaError.failures)),
  "",
  "### Redis",
  "",
  table(
    failureHeader,
    failureRows("packages/cache/src/Redis.ts", Redis, Redis.failures, {
      RedisRefused: [
        { note: "that says that Redis cannot serve", code: "OOM" },
        { note: "of a command", code: "WRONGTYPE" }
      ]
    })
  ),
  "",
  "### Policies",
  "",
  "Of calls that are guarded by a time limit, a circuit breaker, a bulkhead or a rate limit.",
  "",
  table(failureHeader, failureRows("packages/resilience/src/Failure.ts", Failure, Failure.policyFailures)),
  "",
  "### Stores",
  "",
  table(["failure", "what it means", "clients see"], storeRows()),
  "",
  "### The start",
  "",
  "These end the program with exit code 1 and one line that says what to do.",
  "",
  table(["failure", "what it means"], starts.map(([path, name]) => [`\`${name}\``, docOf(path, name)])),
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
    ),
    ...insidePage()
  ].join("\n")
}

// --- docs/commands.md ------------------------------------------------------------------------------------------------

const commandRows = (api, prefix) =>
  Surfaces.endpoints(api).flatMap((endpoint) => {
    const policy = annotation(endpoint, CommandPolicy)
    const outside = annotation(endpoint, ChangesOutside)
    return policy === undefined && outside === undefined ? [] : [[
      annotation(endpoint, Summary) ?? endpoint.name,
      `\`${endpoint.method} ${prefix}${endpoint.path}\``,
      policy?.writeClass ?? `none: ${outside}`,
      policy?.idempotencyKey ?? "",
      policy?.ifMatch ?? ""
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
    "**Write class**: what the command may do while Postgres is away and the agent's file stands in for it: `mergeable` runs,",
    "`bounded` runs within a bound, `provisional` is kept as an intent (202) and runs afterwards, `refused` is answered 503.",
    "Level by level: [degradation.md](degradation.md). Without Postgres the file is the store of record, and all of them run.",
    "`none` changes nothing of an agent's own, only what is named, and is answered as a read is.",
    "",
    "**Idempotency-Key** `required`: without it the request is refused (`idempotency_key_required`). `optional`: with it a",
    "repeated request takes effect once; without it each request is a new one. **If-Match** `required`: send the `ETag` you",
    "read; a stale one is refused (`version_conflict`), and that answer is on record as any other: send the new `ETag` under a",
    "new Idempotency-Key.",
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

// --- docs/degradation.md ---------------------------------------------------------------------------------------------

const levels = [0, 1, 2, 3, 4]

const fateInWords = {
  runs: "runs",
  bounded: "within its bound, else 503",
  kept: "kept (202), runs later",
  refused: "503"
}

/** What becomes of a request of the class at a level; Kafka is thought to be away at 2, Postgres at 1. */
const requestCells = (writeClass) =>
  levels.map((level) => fateInWords[CommandFate.of(writeClass, { level, isAlone: level === 1 })])

/** A message that may not be handled now waits: it is never refused. */
const messageCells = (writeClass) =>
  levels.map((level) => {
    if (level >= 2) return "waits"
    const fate = CommandFate.of(writeClass, { level, isAlone: level === 1 })
    return fate === "runs" ? "handled" : fate === "bounded" ? "within its bound, else waits" : "waits"
  })

const levelHeader = levels.map((level) => `${level} ${["full", "fallback", "isolated", "minimal", "failed"][level]}`)

const levelRows = (api, prefix) =>
  Surfaces.endpoints(api).flatMap((endpoint) => {
    const policy = annotation(endpoint, CommandPolicy)
    const outside = annotation(endpoint, ChangesOutside)
    return policy === undefined && outside === undefined ? [] : [[
      `${annotation(endpoint, Summary) ?? endpoint.name} \`${endpoint.method} ${prefix}${endpoint.path}\``,
      ...(policy === undefined
        ? [`none: ${outside}`, ...levels.map((level) => level < 4 ? "runs" : fateInWords.refused)]
        : [policy.writeClass, ...requestCells(policy.writeClass)])
    ]]
  })

const levelTables = () =>
  [
    ...all.flatMap((agent) => {
      const surfaces = Surfaces.of(agent).filter(({ api }) => api !== KernelApi.KernelApi)
      const heard = heardBy(agent)
      return [
        `### ${agent.title} (\`${agent.name}\`)`,
        "",
        table(
          ["command", "class", ...levelHeader],
          [
            ...surfaces.flatMap(({ api }) => levelRows(api, `/${agent.name}`)),
            ...messageRows(agent).map(([type, writeClass]) => [
              `message ${type}`,
              writeClass,
              ...messageCells(writeClass)
            ]),
            ...(heard.length === 0
              ? []
              : [[`${heard.length} kinds of events of others`, "mergeable", ...messageCells("mergeable")]])
          ]
        ),
        ""
      ]
    }),
    "### Every agent",
    "",
    table(["command", "class", ...levelHeader], levelRows(KernelApi.KernelApi, "/{agent}")),
    ""
  ].join("\n")

const LEVELS_BEGIN = "<!-- Tables: generated from the endpoints, their write classes and the subscriptions by " +
  "`node scripts/generate-docs.mjs`; a test compares. -->"
const LEVELS_END = "<!-- End of the tables. -->"

/** The page is written by hand, but for what stands between the two marks. */
const withLevels = (text) => {
  const [before, after] = [text.indexOf(LEVELS_BEGIN), text.indexOf(LEVELS_END)]
  if (before < 0 || after < before) throw new Error("docs/degradation.md has no place for its tables")
  return `${text.slice(0, before)}${LEVELS_BEGIN}\n\n${levelTables()}\n${text.slice(after)}`
}

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
  "docs/degradation.md": withLevels(read("docs/degradation.md")),
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
