import { Outside } from "@holdfast/agent/Outside"
import * as Instant from "@holdfast/contracts/Instant"
import { Database } from "@holdfast/database/Database"
import { type Operation, retention } from "@holdfast/database/Operation"
import type { ExecuteError, ReadError, WriteError } from "@holdfast/database/StoreError"
import * as Transaction from "@holdfast/database/Transaction"
import type * as Failure from "@holdfast/resilience/Failure"
import * as Policy from "@holdfast/resilience/Policy"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Alarm from "./Alarm.ts"
import type { Outcome } from "./Domain/Outcome.ts"
import * as RetryMatrix from "./Domain/RetryMatrix.ts"
import * as Gateway from "./Gateway.ts"
import * as GatewayWatch from "./GatewayWatch.ts"
import * as Repository from "./Repository.ts"
import * as Results from "./Results.ts"
import { type AttemptRow, Attempts, type PaymentRow } from "./Tables.ts"

/** How the gateway is called. */
export interface Options {
  /** One call waits at most this long; then its outcome is unknown, and the gateway is asked. */
  readonly callTimeout?: Duration.DurationInput
  /** Payments with a call under way at once; a quarter of them is for what the gateway did not serve before. */
  readonly concurrency?: number
}

const DEFAULT_CONCURRENCY = 64

/** What waits is counted anew at most this often. */
const COUNT_EVERY_MILLIS = 1_000

/** Asking about a call that the gateway has accepted waits for nobody, unless it is late by so much. */
const OVERDUE_MILLIS = 10_000

/**
 * The two queues of calls, each with calls under way of its own: what the gateway did not serve the last time, and all
 * others. Both are taken by the time at which they are due, so that a call that was not served goes behind all that wait.
 */
type Queue = "served" | "unserved"

const queues: ReadonlyArray<Queue> = ["served", "unserved"]

const queueOf = { served: ["errorCode", "is null"], unserved: ["errorCode", "is not null"] } as const

const call = (
  gateway: Gateway.GatewayShape,
  payment: PaymentRow,
  attempt: AttemptRow
): Effect.Effect<Outcome, Gateway.GatewayError> => {
  const about = {
    idempotencyKey: attempt.idempotencyKey,
    paymentId: payment.id,
    amount: attempt.amount,
    currency: payment.currency
  }
  const followUp = { ...about, authorizationRef: payment.providerRef ?? "" }
  switch (attempt.kind) {
    case "authorize":
      return gateway.authorize({
        ...about,
        orderId: payment.orderId,
        methodToken: payment.methodToken,
        captureMode: payment.captureMode
      })
    case "capture":
      return gateway.capture({ ...followUp, final: attempt.final })
    case "void":
      return gateway.void(followUp)
    case "refund":
      return gateway.refund(followUp)
    case "query":
      return Effect.dieMessage("a query is no call with effects")
  }
}

const failureOf = (error: Gateway.GatewayError | Failure.PolicyFailure): RetryMatrix.Failure | "rejected" => {
  switch (error._tag) {
    case "GatewayRejected":
      return "rejected"
    case "GatewayKeyInUse":
      return "key_in_use"
    case "GatewayAway":
      return error.reason === "network" ? "no_answer" : error.reason
    case "AttemptTimeout":
    case "DeadlineExceeded":
      return "no_answer"
    case "BreakerOpen":
    case "BulkheadFull":
    case "RateLimited":
      return "not_called"
  }
}

/** Why the gateway did not serve a call, for people. */
const describe = (error: Gateway.GatewayError | Failure.PolicyFailure): string => {
  switch (error._tag) {
    case "GatewayAway":
    case "GatewayRejected":
    case "GatewayKeyInUse":
      return error.detail
    case "AttemptTimeout":
      return `no answer within ${error.timeoutMs} ms`
    default:
      return "no answer"
  }
}

/** What one call came to, and when the gateway is asked again should that not be the end. */
interface Called {
  readonly at: number
  readonly report: Results.Report
  readonly next: RetryMatrix.Next
}

const operation = <E, R>(
  attempt: AttemptRow,
  { at, report }: Called,
  handler: Effect.Effect<void, E, R>
): Operation<void, E, R> => {
  const id = report._tag === "Deferred" || report._tag === "Outcome" &&
      (report.outcome._tag === "Pending" || report.outcome._tag === "ActionRequired")
    ? `attempt:${attempt.id}:${attempt.tries}:${at}`
    : `attempt:${attempt.id}:result`
  return {
    id,
    command: `payment.${attempt.kind}.result`,
    writeClass: "mergeable",
    fingerprint: "",
    cause: { correlationId: attempt.correlationId, causationId: attempt.causationId },
    keepMillis: retention.orderOrPayment,
    handler,
    answer: () => "",
    refusal: () => undefined
  }
}

type DriveError = ReadError | WriteError | ExecuteError

/**
 * Calls the gateway for the attempts whose time has come: the intent is committed before, the result is written after, and
 * nothing is open in between. One call at a time for each payment, many payments at once. All that is to be done stands in
 * the rows, so that a restart goes on where the last process ended, with the same keys.
 *
 * A call waits for those before it in its queue and for nothing else: whatever the gateway leaves unanswered, each of these
 * takes at most `callTimeout`, a quarter of the calls at least goes on beside it, and what was not served comes again in its
 * own time.
 *
 * @category services
 */
export class GatewayCalls extends Context.Tag("@holdfast/payment/GatewayCalls")<GatewayCalls, {
  /** Looks now for attempts that are due. */
  readonly wake: Effect.Effect<void>
  /** How the gateway is, as the calls show it. */
  readonly watch: Pick<GatewayWatch.GatewayWatch, "current" | "waiting">
}>() {
  static readonly layer = (options: Options = {}) => Layer.scoped(this, make(options))
}

const make = (options: Options) =>
  Effect.gen(function*() {
    const database = yield* Database
    const gateway = yield* Gateway.Gateway
    const concurrency = options.concurrency ?? DEFAULT_CONCURRENCY
    const quarter = Math.max(1, Math.floor(concurrency / 4))
    const limits: Readonly<Record<Queue, number>> = { served: Math.max(1, concurrency - quarter), unserved: quarter }
    const watch = yield* GatewayWatch.make(gateway.provider)
    yield* Effect.flatMap(Outside, (outside) => outside.watch(watch))
    const policy = yield* Effect.orDie(Policy.make(gateway.provider, {
      failures: Gateway.failures,
      attemptTimeout: options.callTimeout ?? "2 seconds",
      // Repeating is decided by the rows, where a restart finds it.
      retry: false,
      // It would refuse what might be answered because of what is not, and probe with what was not: the queues see to it that
      // a gateway without answers is called little, and that nothing waits for a call that has none.
      breaker: { consecutiveFailures: Infinity, minCalls: Infinity },
      bulkhead: { limit: limits.served + limits.unserved }
    }))

    const ask = (payment: PaymentRow, attempt: AttemptRow): Effect.Effect<Called> =>
      Effect.gen(function*() {
        const age = (now: number) => now - Instant.toMillis(attempt.startedAt)
        const begunAt = yield* Clock.currentTimeMillis
        const step = RetryMatrix.allowed(attempt.state === "sent" ? "send" : "query", age(begunAt))
        const answer = yield* Effect.either(policy.effect(
          step === "send"
            ? call(gateway, payment, attempt)
            : gateway.retrieve({ idempotencyKey: attempt.idempotencyKey })
        ))
        const now = yield* Clock.currentTimeMillis
        const random = yield* Random.next
        const next = (failure: RetryMatrix.Failure, retryAfterMillis?: number) =>
          RetryMatrix.next(failure, step, {
            tries: attempt.tries + 1,
            ageMillis: age(now),
            random,
            retryAfterMillis
          })
        if (answer._tag === "Right") {
          yield* heard(begunAt)
          return answer.right === undefined
            ? { at: now, report: { _tag: "Deferred", failure: "unknown_key" }, next: next("unknown_key") }
            : { at: now, report: { _tag: "Outcome", outcome: answer.right }, next: next("pending") }
        }
        const failure = failureOf(answer.left)
        if (failure === "rejected") {
          yield* heard(begunAt)
          yield* Effect.logError("the gateway refuses a call", answer.left)
          // Asked about a key it may refuse the question, which says nothing about the call.
          return step === "send"
            ? { at: now, report: { _tag: "Rejected" }, next: next("pending") }
            : { at: now, report: { _tag: "Deferred", failure: "no_answer" }, next: next("no_answer") }
        }
        if (failure === "no_answer" || failure === "server_error") {
          yield* watch.unserved({ begunAt, isFirst: attempt.errorCode === null, error: describe(answer.left) })
        } else if (failure !== "not_called") {
          yield* heard(begunAt)
        }
        const retryAfter = "retryAfterMs" in answer.left ? answer.left.retryAfterMs : undefined
        return {
          at: now,
          report: { _tag: "Deferred", failure },
          next: next(failure, retryAfter)
        }
      })

    /** The gateway answers: what waited because it was away can go. */
    const heard = (begunAt: number) =>
      Effect.suspend(() => {
        const wasAway = watch.current().status !== "up"
        return Effect.zipRight(watch.answered(begunAt), wasAway ? alarm.ring : Effect.void)
      })

    const dueOf = (paymentId: PaymentRow["id"]) =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const [attempt] = yield* database.read(Transaction.select(Attempts, {
          where: [["paymentId", "=", paymentId], ["nextAt", "<=", now]],
          orderBy: [["nextAt", "asc"], ["seq", "asc"]],
          limit: 1
        }))
        const payment = attempt === undefined ? undefined : yield* database.read(Repository.payment(paymentId))
        return attempt === undefined || payment === undefined ? undefined : { attempt, payment }
      })

    const driveOne = (paymentId: PaymentRow["id"]): Effect.Effect<void, DriveError> =>
      Effect.gen(function*() {
        for (let due = yield* dueOf(paymentId); due !== undefined; due = yield* dueOf(paymentId)) {
          const { attempt, payment } = due
          const called = yield* ask(payment, attempt)
          const outcome = yield* database.execute(
            operation(attempt, called, Results.settle(attempt.id, called.report, called.next))
          )
          // A result that is on record ended the attempt with it; never call on if that should not be so.
          if (outcome._tag === "Known") return
        }
      })

    const running = new Map<string, { again: boolean; readonly queue: Queue }>()
    const fibers = yield* FiberSet.make<void>()

    const drive = (paymentId: PaymentRow["id"], queue: Queue): Effect.Effect<void> => {
      const mine = { again: false, queue }
      running.set(paymentId, mine)
      const rounds: Effect.Effect<void, DriveError> = Effect.flatMap(
        driveOne(paymentId),
        () => {
          if (!mine.again) return Effect.void
          mine.again = false
          return rounds
        }
      )
      return rounds.pipe(
        Effect.catchAllCause((cause) =>
          Effect.annotateLogs(Effect.logError("gateway call not settled", cause), { paymentId })
        ),
        Effect.ensuring(Effect.suspend(() => {
          running.delete(paymentId)
          return overflow ? alarm.ring : Effect.void
        }))
      )
    }

    let overflow = false
    let countedAt = -Infinity

    /** Has at hand, for health and metrics, how much waits. */
    const count = (now: number) =>
      Effect.gen(function*() {
        countedAt = now
        const [waiting] = yield* database.read(Transaction.query(
          "select count(*) as n, min(started_at) as oldest from attempt " +
            "where next_at is not null and (state = 'sent' or error_code is not null or next_at <= ?)",
          [now - OVERDUE_MILLIS]
        ))
        const oldest = waiting?.["oldest"]
        yield* watch.waits({
          calls: Number(waiting?.["n"] ?? 0),
          oldestAt: typeof oldest === "string" ? Instant.toMillis(oldest) : undefined
        })
      })

    /** Starts what is due; answers with the time of what is due next. */
    const look = Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      overflow = false
      for (const queue of queues) {
        const due = yield* database.read(Transaction.select(Attempts, {
          where: [["nextAt", "<=", now], queueOf[queue]],
          orderBy: [["nextAt", "asc"], ["seq", "asc"]],
          limit: running.size + limits[queue]
        }))
        // While it is away a few calls are enough to see that it is back.
        const limit = watch.current().status === "up" ? limits[queue] : Math.min(limits[queue], quarter)
        let under = [...running.values()].filter((one) => one.queue === queue).length
        for (const { paymentId } of due) {
          const busy = running.get(paymentId)
          if (busy !== undefined) busy.again = true
          else if (under < limit) {
            under++
            yield* FiberSet.run(fibers, drive(paymentId, queue))
          } else overflow = true
        }
      }
      if (Math.abs(now - countedAt) >= COUNT_EVERY_MILLIS) yield* count(now)
      const [later] = yield* database.read(Transaction.select(Attempts, {
        where: [["nextAt", ">", now]],
        orderBy: [["nextAt", "asc"]],
        limit: 1
      }))
      return later?.nextAt ?? undefined
    })

    const alarm = yield* Alarm.make("gateway-calls", look)
    return { wake: alarm.ring, watch }
  })
