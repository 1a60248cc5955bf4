import { Database } from "@holdfast/database/Database"
import type { DatabaseShape } from "@holdfast/database/Database"
import type { Operation } from "@holdfast/database/Operation"
import { retention } from "@holdfast/database/Operation"
import type { ExecuteError, WriteError } from "@holdfast/database/StoreError"
import { Intents } from "@holdfast/database/SystemTables"
import * as Transaction from "@holdfast/database/Transaction"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Endpoint } from "./Endpoint.ts"
import type { AnyFailure, AnyService } from "./Handler.ts"
import * as HttpAnswer from "./HttpAnswer.ts"
import type { HttpRequest } from "./HttpRequest.ts"
import * as Job from "./Job.ts"
import * as ProblemJson from "./ProblemJson.ts"

/** A request as it is kept until it can be carried out. */
const Kept = Schema.Struct({
  endpoint: Schema.String,
  method: Schema.String,
  url: Schema.String,
  params: Schema.Record({ key: Schema.String, value: Schema.String }),
  search: Schema.Record({
    key: Schema.String,
    value: Schema.Union(Schema.String, Schema.mutable(Schema.Array(Schema.String)))
  }),
  headers: Schema.Record({ key: Schema.String, value: Schema.String }),
  body: Schema.Uint8ArrayFromBase64,
  principal: Schema.String,
  correlationId: Schema.String
})

/** Credentials have been turned into the principal and are needed no more. */
const withheldHeaders = new Set(["authorization", "cookie", "proxy-authorization"])

const keep = (endpoint: Endpoint, request: HttpRequest): unknown =>
  Schema.encodeSync(Kept)({
    endpoint: endpoint.name,
    method: request.method,
    url: request.url,
    params: defined(request.params),
    search: request.search,
    headers: Object.fromEntries(
      Object.entries(request.headers).flatMap(([name, value]) =>
        typeof value === "string" && !withheldHeaders.has(name) ? [[name, value]] : []
      )
    ),
    body: Uint8Array.from(request.body),
    principal: request.principal,
    correlationId: request.correlationId
  })

const defined = (params: HttpRequest["params"]): Record<string, string> =>
  Object.fromEntries(Object.entries(params).flatMap(([name, value]) => value === undefined ? [] : [[name, value]]))

/** Where the fate of an operation can be read. */
export const pathOf = (agent: string, operationId: string): string => `/${agent}/ops/${encodeURIComponent(operationId)}`

/**
 * Keeps a request that its write class forbids to carry out now, and answers 202 with the place where its fate can be
 * read. It runs under its own id when the primary is back: once, however often it was asked for.
 *
 * @category running
 */
export const accept = <A, E, R>(
  database: DatabaseShape,
  endpoint: Endpoint,
  request: HttpRequest,
  operation: Operation<A, E, R>
): Effect.Effect<HttpAnswer.HttpAnswer, ExecuteError | WriteError> => {
  const location = pathOf(endpoint.agent, operation.id)
  const answer = HttpAnswer.json(202, { id: operation.id, status: "waiting", location }, { location })
  return Effect.map(
    database.execute({
      id: `intent:${operation.id}`,
      command: endpoint.name,
      writeClass: "mergeable",
      fingerprint: operation.fingerprint,
      cause: operation.cause,
      keepMillis: retention.orderOrPayment,
      handler: Effect.flatMap(Transaction.now, (acceptedAt) =>
        Transaction.insert(Intents, {
          operationId: operation.id,
          command: endpoint.name,
          request: keep(endpoint, request),
          acceptedAt,
          status: "waiting" as const
        })),
      answer: () => HttpAnswer.toRecord(answer),
      refusal: () => undefined
    }),
    (outcome) => outcome._tag === "Known" ? HttpAnswer.fromRecord(outcome.answer) : answer
  )
}

const waiting = Transaction.select(Intents, {
  where: [["status", "=", "waiting"]],
  orderBy: [["acceptedAt", "asc"], ["operationId", "asc"]],
  limit: 100
})

/** A refusal has been recorded as the operation's answer: it is done. What may succeed later waits on. */
const isConcluded = (exit: Exit.Exit<unknown, AnyFailure>): boolean =>
  Exit.isSuccess(exit) ||
  (exit.cause._tag === "Fail" && ProblemJson.publicError(exit.cause.error) !== undefined &&
    !/"retryable":true/.test(ProblemJson.render(exit.cause.error, { correlationId: "", level: 0 }).body))

/**
 * Carries out what waits, in the order in which it was accepted, as soon as the primary is back.
 *
 * @category jobs
 */
export const job = (endpoints: ReadonlyArray<Endpoint>): Job.Job<AnyService> => {
  const decode = Schema.decodeUnknownOption(Kept)
  return Job.worker(
    "intents",
    { wakeOn: [Intents], every: "1 second" },
    Effect.gen(function*() {
      const database = yield* Database
      if (database.primary?.mode() === "alone") return
      for (const intent of yield* database.read(waiting)) {
        const kept = Option.getOrUndefined(decode(intent.request))
        const endpoint = endpoints.find((one) => one.name === kept?.endpoint)
        if (kept === undefined || endpoint === undefined) {
          yield* Effect.logError(
            `${intent.operationId} (${intent.command}) was accepted by a version that this one is not`
          )
          continue
        }
        const exit = yield* Effect.exit(endpoint.respond({
          ...kept,
          level: 0,
          levelSince: 0,
          isIntent: true,
          operationId: intent.operationId
        }))
        if (!isConcluded(exit)) {
          yield* Effect.logWarning(`${intent.command} was accepted during an outage and cannot be carried out yet`)
          // A bug of this one is none of the others; what is away is away for all.
          if (Exit.isFailure(exit) && Cause.isDie(exit.cause)) continue
          return
        }
        const settled = Transaction.update(
          Intents,
          { operationId: intent.operationId },
          (row) => ({ ...row, status: "done" as const })
        )
        const id = `intent-done:${intent.operationId}`
        yield* database.execute({
          id,
          command: intent.command,
          writeClass: "mergeable",
          fingerprint: "",
          cause: { correlationId: kept.correlationId, causationId: intent.operationId },
          keepMillis: retention.orderOrPayment,
          handler: settled,
          answer: () => "",
          refusal: () => undefined
        })
      }
    })
  )
}

/**
 * Forgets what was carried out when the records of its operations are forgotten too: a request holds what a customer has
 * written.
 *
 * @category jobs
 */
export const forget: Job.Timer<Transaction.Transaction | Transaction.Reader> = Job.timer(
  "forget-intents",
  "1 hour",
  Effect.gen(function*() {
    const now = yield* Transaction.now
    const rows = yield* Transaction.select(Intents, {
      where: [["status", "=", "done"], ["acceptedAt", "<", now - retention.orderOrPayment]],
      limit: 1_000
    })
    for (const { operationId } of rows) yield* Transaction.remove(Intents, { operationId })
  })
)
