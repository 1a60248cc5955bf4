import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as AgentConfig from "@holdfast/agent/AgentConfig"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { agents } from "./Agents.ts"
import { print, printJson, table } from "./Terminal.ts"
import { json } from "./Url.ts"
import * as Finding from "./Verify/Finding.ts"
import * as Verification from "./Verify/Verification.ts"

/** Something does not hold. */
export class VerificationFailed extends Data.TaggedError("VerificationFailed")<{ readonly detail: string }> {}

const dataDir = Options.text("data-dir").pipe(
  Options.withDescription("Folder of the stores, instead of HOLDFAST_DATA_DIR"),
  Options.optional
)

const minor = (amount: number): string => (amount / 100).toFixed(2)

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
    `stock: ${found.stock.onHand} on hand, ${found.stock.reserved} reserved, ${found.stock.ledgerRows} ledger rows`,
    `digest: ${found.digest}`,
    "",
    found.findings.length === 0
      ? "Everything holds."
      : [`${found.findings.length} findings:`, ...Finding.format(found.findings)].join("\n")
  ].join("\n")

/** `holdfast verify` */
export const command = Command.make("verify", { dataDir, json }, (given) =>
  Effect.gen(function*() {
    const config = yield* AgentConfig.load(
      Option.isSome(given.dataDir) ? { HOLDFAST_DATA_DIR: given.dataDir.value } : {}
    )
    const found = yield* Verification.run(agents({ ...config, port: () => config.port }), config.dataDir)
    yield* given.json ? printJson(found) : print(format(found))
    if (found.findings.length > 0) {
      return yield* new VerificationFailed({ detail: `${found.findings.length} things do not hold` })
    }
  })).pipe(
    Command.withDescription(
      "Check what must hold within and across the agents' stores: ledgers against balances, reservations, orders against\n" +
        "payments and stock, no order without its end, nothing left in outboxes and sagas. Exit code 1 when something does\n" +
        "not hold. Reads the stores directly, whether the agents run or not.\n\n" +
        "Examples:\n" +
        "  npm run -s holdfast -- verify\n" +
        "  npm run -s holdfast -- verify --data-dir shop --json"
    )
  )
