import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { existsSync } from "node:fs"
import { agents } from "./Agents.ts"
import * as Count from "./Count.ts"
import { print, printJson, table } from "./Terminal.ts"
import { json } from "./Url.ts"
import * as Finding from "./Verify/Finding.ts"
import * as Verification from "./Verify/Verification.ts"

/** Something does not hold. */
export class VerificationFailed extends Data.TaggedError("VerificationFailed")<{ readonly detail: string }> {}

const dataDirs = Options.text("data-dir").pipe(
  Options.withDescription("Folder of the stores, instead of HOLDFAST_DATA_DIR; once for each process that has its own"),
  Options.repeated
)

const shadow = Options.boolean("shadow").pipe(
  Options.withDescription("Compare the files in the folders with Postgres, row by row")
)

const minor = (amount: number): string => (amount / 100).toFixed(2)

const formatShadows = (shadows: Verification.Verification["shadows"]): string => {
  const pending = shadows.reduce((sum, file) => sum + file.pending, 0)
  const rows = shadows.flatMap(({ tables }) => tables).reduce((sum, table) => sum + table.rows, 0)
  return `shadows: ${Count.of(shadows.length, "file")}, ${Count.of(pending, "operation")} to merge` +
    (shadows.some(({ tables }) => tables.length > 0) ? `, ${Count.of(rows, "row")} compared` : "")
}

const format = (found: Verification.Verification): string =>
  [
    table([
      ["orders", "", "count", "grand"],
      ...found.orders.map((group) => [
        group.state,
        group.reason ?? "",
        String(group.orders),
        `${minor(group.grand)} ${group.currency}`
      ])
    ]),
    "",
    table([
      ["money", "authorised", "voided", "captured", "refunded", "held"],
      ...found.money.map((sums) => [
        sums.currency,
        minor(sums.authorized),
        minor(sums.voided),
        minor(sums.captured),
        minor(sums.refunded),
        minor(sums.held)
      ])
    ]),
    "",
    `stock: ${found.stock.onHand} on hand, ${found.stock.reserved} reserved, ${
      Count.of(found.stock.ledgerRows, "ledger row")
    }`,
    ...(found.store === "files" ? [] : [formatShadows(found.shadows)]),
    `digest: ${found.digest}`,
    "",
    found.findings.length === 0
      ? "Everything holds."
      : [`${Count.of(found.findings.length, "finding")}:`, ...Finding.format(found.findings)].join("\n")
  ].join("\n")

/** Where the stores are that are read. */
const source = (postgres: AgentConfig.AgentConfig["postgres"], directories: ReadonlyArray<string>): string => {
  const files = (folders: ReadonlyArray<string>) => `files in ${folders.join(", ")}`
  const shadows = directories.filter((directory) => existsSync(directory))
  return Option.match(postgres, {
    onNone: () => files(directories),
    onSome: ({ database, host, port }) =>
      `Postgres ${database} at ${host}:${port}${shadows.length === 0 ? "" : `; its shadows, ${files(shadows)}`}`
  })
}

/** `holdfast verify` */
export const command = Command.make("verify", { dataDirs, shadow, json }, (given) =>
  Effect.gen(function*() {
    const [first] = given.dataDirs
    const config = yield* AgentConfig.load(first === undefined ? {} : { HOLDFAST_DATA_DIR: first })
    if (given.shadow && Option.isNone(config.postgres)) {
      return yield* new VerificationFailed({
        detail: "--shadow compares the files with Postgres: set DATABASE_URL as the agents have it"
      })
    }
    const directories = first === undefined ? [config.dataDir] : given.dataDirs
    if (!given.json) yield* print(`reads ${source(config.postgres, directories)}\n`)
    const found = yield* Verification.run({
      agents: agents({ ...config, port: () => config.port }),
      config,
      directories,
      isShadowCompared: given.shadow,
      areFilesNeeded: given.shadow || first !== undefined
    })
    yield* given.json ? printJson(found) : print(format(found))
    if (found.findings.length > 0) {
      return yield* new VerificationFailed({
        detail: Count.of(found.findings.length, "thing does not hold", "things do not hold")
      })
    }
  })).pipe(
    Command.withDescription(
      "Check what must hold within and across the agents' stores: ledgers against balances, reservations, orders against\n" +
        "payments and stock, no order without its end, nothing left in outboxes, sagas and backlogs. Exit code 1 when\n" +
        "something does not hold. Reads the stores directly, whether the agents run or not: Postgres with DATABASE_URL,\n" +
        "else the files.\n\n" +
        "Examples:\n" +
        "  npm run -s holdfast -- verify\n" +
        "  npm run -s holdfast -- verify --data-dir shop --json\n" +
        "  npm run -s holdfast -- verify --shadow --data-dir shop/order --data-dir shop/inventory"
    )
  )
