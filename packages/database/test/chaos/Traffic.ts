import { type DatabaseShape } from "@holdfast/database/Database"
import type { Operation } from "@holdfast/database/Operation"
import type { ExecuteError, WriteError } from "@holdfast/database/StoreError"
import * as Checker from "@holdfast/testing/Checker"
import type { Choices } from "@holdfast/testing/Choices"
import type * as History from "@holdfast/testing/History"
import type * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as StoreSides from "@holdfast/testing/StoreSides"
import type * as Workload from "@holdfast/testing/Workload"
import { Effect, Redacted } from "effect"
import { Accounts, deposit, Entries, open as openAccount, operation, Refused } from "../Bank.ts"
import { ask, folder, open, type Replica, untilMode } from "../Outage.ts"

/** Accounts of the bank under load; each begins with so much. */
export const accounts = ["a", "b", "c", "d", "e"] as const
export const FIRST_BALANCE = 100_000

type Store = Pick<DatabaseShape, "execute" | "agent" | "read"> & DatabaseShape

export const openAccounts = (bank: Store) =>
  Effect.forEach(
    accounts,
    (id) => bank.execute(operation(openAccount(id, FIRST_BALANCE), { id: `open-${id}` })),
    { discard: true }
  )

/** Money from one account to another: two rows, two entries, two messages, the sum stays. */
export const transfer = (from: string, to: string, amount: number) =>
  Effect.zipRight(deposit(from, -amount), deposit(to, amount))

/** What a client asks for: mostly transfers and deposits, now and then what is refused by itself or by its class. */
export const request = (
  bank: Pick<DatabaseShape, "execute">,
  choices: Choices,
  name: string
) =>
(n: number): Workload.Request<unknown, WriteError | ExecuteError | Refused, never> => {
  const from = choices.pick(accounts)
  const to = choices.pick(accounts.filter((one) => one !== from) as unknown as readonly [string])
  const kind = choices.pick(["deposit", "transfer", "transfer", "withdraw", "refused", "overdraw", "provisional"])
  const id = `${name}-${kind}-${n}`
  const of = <A, E, R>(handler: Effect.Effect<A, E, R>, writeClass: Operation<A, E, R>["writeClass"] = "mergeable") =>
    bank.execute({ ...operation(handler, { id }), writeClass })
  const run = kind === "deposit"
    ? of(deposit(to, choices.integer(1, 5)))
    : kind === "transfer"
    ? of(transfer(from, to, choices.integer(1, 5)))
    : kind === "withdraw"
    ? of(deposit(from, -1))
    : kind === "refused"
    ? of(deposit(to, 1), "refused")
    : kind === "provisional"
    ? of(deposit(to, 1), "provisional")
    : Effect.filterOrFail(
      of(Effect.zipRight(deposit(to, 1_000), new Refused({ why: "poor" }))),
      // A refusal is remembered like any other answer.
      (outcome) => outcome._tag !== "Known",
      () => new Refused({ why: "poor" })
    )
  return { id, run }
}

/**
 * What Postgres has, against what the clients were told. Each operation changes accounts, appends entries and emits
 * messages; they must all be there, once, and the balances must be the sum of the entries.
 */
export const broken = (url: string, history: History.History, more: ReadonlyArray<string> = []) =>
  Effect.gen(function*() {
    const changes = yield* ask(
      url,
      "select operation_id as id, row_key as key from change where table_name = 'account' and operation_id not like 'open-%'"
    )
    // A change of one account by one operation: more than one is a second effect.
    const once = new Set<string>()
    const again: Array<string> = []
    for (const { id, key } of changes) {
      const change = `${String(id)} ${String(key)}`
      if (once.has(change)) again.push(`${change} was changed twice`)
      once.add(change)
    }
    const set = Checker.setFull(history, new Set(changes.map(({ id }) => String(id))))
    const refusedToo = yield* ask(
      url,
      "select id from operation where outcome = 'refused' and id in (select operation_id from change)"
    )
    const entries = yield* ask(url, "select account_id as id, sum(amount) as sum, count(*) as n from entry group by 1")
    const balances = yield* ask(url, "select id, balance from account")
    const [messages] = yield* ask(
      url,
      "select count(*) as n, count(distinct event_id) as distinct from outbox " +
        "where type <> 'ecom.system.conflict_detected.v1'"
    )
    const moved = new Map(entries.map((row) => [String(row["id"]), Number(row["sum"])]))
    const count = entries.reduce((total, row) => total + Number(row["n"]), 0)
    const violations = [
      ...Checker.violations(set),
      ...again,
      ...refusedToo.map(({ id }) => `${String(id)} was refused and has changed rows`),
      ...balances.flatMap(({ balance, id }) =>
        Number(balance) === FIRST_BALANCE + (moved.get(String(id)) ?? 0)
          ? []
          : [
            `account ${String(id)} has ${Number(balance)}, its entries say ${
              FIRST_BALANCE + (moved.get(String(id)) ?? 0)
            }`
          ]
      ),
      ...Number(messages?.["n"]) === count && Number(messages?.["distinct"]) === count
        ? []
        : [`${count} entries, ${Number(messages?.["n"])} messages, ${Number(messages?.["distinct"])} different ones`],
      ...more
    ]
    return { set, violations }
  })

/** Every difference between the file and Postgres. */
export const differences = (bank: DatabaseShape, url: string) =>
  StoreSides.differences(bank, { url: Redacted.make(url) }, [Accounts, Entries])

/** The file has caught up with Postgres, and has what Postgres has. */
export const areEqual = (bank: Replica, url: string) =>
  Effect.gen(function*() {
    yield* untilMode(bank, "primary")
    yield* bank.fresh
    yield* Checker.kept(yield* differences(bank, url))
  })

/** A new account with so many deposits of 1. */
export const fill = (bank: Pick<DatabaseShape, "execute">, name: string, deposits: number) =>
  Effect.gen(function*() {
    yield* bank.execute(operation(openAccount(name, 0), { id: `open-${name}` }))
    yield* Effect.forEach(
      Array.from({ length: deposits }, (_, n) => n),
      (n) => bank.execute(operation(deposit(name, 1), { id: `${name}-${n}` })),
      { concurrency: 64, discard: true }
    )
  })

/** A database that another process has filled. */
export const filled = (server: PostgresServer.PostgresServer, name: string, deposits: number) =>
  Effect.scoped(Effect.gen(function*() {
    const url = yield* server.createDatabase("bank")
    const bank = yield* open({ url, directory: yield* folder, instance: "filling" })
    yield* untilMode(bank, "primary")
    yield* fill(bank, name, deposits)
    return url
  }))

/** Rows of a page of whatever is done page by page, and some more. */
export const MANY = 2_100
