import type { Envelope } from "@holdfast/contracts/Envelope"
import type { DatabaseShape } from "@holdfast/database/Database"
import type { Outcome } from "@holdfast/database/Operation"
import type { ExecuteError } from "@holdfast/database/StoreError"
import type { Reader, Transaction } from "@holdfast/database/Transaction"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as DeadLetters from "./DeadLetters.ts"
import { DependencyAway, type HandlerError } from "./DeliveryError.ts"
import type { Reactions } from "./Reactions.ts"
import * as Verdict from "./Verdict.ts"

/** Why a message was not handled just now although it did not fail. */
class Passed extends Data.TaggedError("Passed")<{ readonly why: "settled" | "behind" | "deferred" }> {}
/** It is a letter already. */
const settledBefore = new Passed({ why: "settled" })
/** Earlier messages of its scope are parked. */
const behind = new Passed({ why: "behind" })
/** What becomes of the message before it is not known yet. */
const deferred = new Passed({ why: "deferred" })

/** A message of a batch on its way to be settled. */
interface Item {
  readonly envelope: Envelope
  readonly scope: string
  /** The message of the same scope before it in the batch. */
  readonly before: Item | undefined
  /** `ran`: its handler succeeded in the transaction of that number, whose end is not known yet. */
  state: "waiting" | "ran" | "failed" | "parked" | "settled"
  transaction: number
  exit: Exit.Exit<Outcome<void>, HandlerError | ExecuteError | Passed>
  reason: DeadLetters.Reason
  /** Those that become letters together: one that failed, and those behind it. */
  group: Array<Item> | undefined
}

const itemsOf = (batch: ReadonlyArray<Envelope>): Array<Item> => {
  const last = new Map<string, Item>()
  return batch.map((envelope) => {
    const scope = DeadLetters.scopeOf(envelope)
    const item: Item = {
      envelope,
      scope,
      before: last.get(scope),
      state: "waiting",
      transaction: 0,
      exit: Exit.fail(deferred),
      reason: "behind",
      group: undefined
    }
    last.set(scope, item)
    return item
  })
}

/**
 * Figures since the start, for metrics.
 *
 * @category models
 */
export interface Stats {
  handled: number
  /** Came again after they had been settled. */
  duplicates: number
  parked: number
  buried: number
}

/**
 * Settles batches of messages: each is handled, parked or buried, in order within its scope, durably. The whole batch is
 * submitted at once, so that one commit takes many; what had to wait for a message that failed is submitted again when
 * that one is settled.
 *
 * @category constructors
 */
export const make = (
  database: DatabaseShape,
  reactions: Reactions<Transaction | Reader>,
  stats: Stats
): (batch: ReadonlyArray<Envelope>) => Effect.Effect<void, DependencyAway> => {
  /**
   * Handles the message unless what becomes of the one before it is open. Operations run strictly in the order of their
   * submission, so that the one before has run when this one does; whether its transaction commits is not known, but if
   * that is this same transaction both share its fate.
   */
  const handleInOrder = (item: Item, suspects: ReadonlySet<string>) =>
    Effect.suspend((): Effect.Effect<void, HandlerError | Passed, Transaction | Reader> => {
      const { before } = item
      if (before?.state === "parked") {
        item.state = "parked"
        return behind
      }
      const transaction = database.stats.transactions
      const clear = before === undefined || before.state === "settled" ||
        (before.state === "ran" && before.transaction === transaction)
      if (!clear) return deferred
      item.state = "failed"
      const handled = Effect.mapBoth(reactions.handle(item.envelope), {
        onSuccess: () => {
          item.state = "ran"
          item.transaction = transaction
        },
        onFailure: (error) => {
          if (Verdict.ofFailure(error)._tag === "Park") item.state = "parked"
          return error
        }
      })
      return suspects.has(item.scope) ? Effect.zipRight(passLetters(item), handled) : handled
    })

  const passLetters = (item: Item) =>
    Effect.gen(function*() {
      if (yield* DeadLetters.isLetter(item.envelope)) return yield* settledBefore
      if (yield* DeadLetters.isParked(item.envelope)) {
        item.state = "parked"
        return yield* behind
      }
    })

  const submit = (item: Item, suspects: ReadonlySet<string>) => {
    item.state = "waiting"
    const operation = reactions.operation(item.envelope, handleInOrder(item, suspects))
    return Effect.map(Effect.exit(database.execute(operation)), (exit) => {
      item.exit = exit
    })
  }

  /** Reads how the operations of a wave ended: what becomes letters, what waits, and whether a dependency is away. */
  const judge = (wave: ReadonlyArray<Item>) => {
    const groups: Array<Array<Item>> = []
    const waiting: Array<Item> = []
    let away: DependencyAway | undefined
    const openGroup = (item: Item, reason: DeadLetters.Reason) => {
      item.reason = reason
      item.group = [item]
      groups.push(item.group)
    }
    for (const item of wave) {
      if (Exit.isSuccess(item.exit)) {
        item.state = "settled"
        if (item.exit.value._tag === "Done") stats.handled++
        else stats.duplicates++
        continue
      }
      const failure = Option.getOrUndefined(Cause.failureOption(item.exit.cause))
      if (failure instanceof Passed) {
        if (failure.why === "deferred") waiting.push(item)
        else if (failure.why === "settled") {
          item.state = "settled"
          stats.duplicates++
        } else if (item.before === undefined || item.before.state === "settled") openGroup(item, "behind")
        else {
          // Without a group the one before could not be parked after all, and this one stays with it.
          item.group = item.before.group
          item.group?.push(item)
        }
        continue
      }
      const verdict = failure === undefined ? Verdict.ofDefect(item.exit.cause) : Verdict.ofFailure(failure)
      if (verdict._tag === "Away") away ??= verdict.error
      else openGroup(item, verdict)
    }
    return { groups, waiting, away }
  }

  /** Makes letters of a group, all or none: a follower must not be parked without the one it follows. */
  const writeLetters = (group: ReadonlyArray<Item>) =>
    Effect.gen(function*() {
      const [first] = group
      if (first === undefined) return
      const { reason } = first
      const wait = reason === "behind" ? 0 : Verdict.delay(reason, 1, yield* Random.next) ?? 0
      const letters = DeadLetters.write(database.agent, group, wait)
      yield* database.execute(reactions.bookkeeping(first.envelope, "first", letters))
      for (const item of group) item.state = "settled"
      if (reason === "behind" || reason._tag === "Park") stats.parked += group.length
      else {
        stats.buried++
        yield* Effect.logWarning(
          `${database.agent} cannot handle ${first.envelope.type} ${DeadLetters.idOf(first.envelope)} (${reason.code})`
        )
      }
    }).pipe(
      Effect.catchAll((error) =>
        Effect.fail(new DependencyAway({ detail: `a dead letter cannot be written: ${error.message}`, cause: error }))
      )
    )

  const settle = (wave: ReadonlyArray<Item>, suspects: ReadonlySet<string>): Effect.Effect<void, DependencyAway> =>
    Effect.gen(function*() {
      yield* Effect.forEach(wave, (item) => submit(item, suspects), { concurrency: "unbounded", discard: true })
      const { away, groups, waiting } = judge(wave)
      yield* Effect.forEach(groups, writeLetters, {
        concurrency: "unbounded",
        discard: true
      })
      if (away !== undefined) return yield* away
      if (waiting.length > 0) yield* settle(waiting, suspects)
    })

  return (batch) =>
    Effect.gen(function*() {
      const items = itemsOf(batch.filter(reactions.concerns))
      if (items.length === 0) return
      const keys = [...new Set(items.map((item) => item.envelope.key))]
      const suspects = yield* Effect.mapError(
        database.read(DeadLetters.scopesOf(keys)),
        (error) => new DependencyAway({ detail: error.detail, cause: error })
      )
      yield* settle(items, suspects)
    })
}
