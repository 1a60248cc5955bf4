import type { Envelope } from "@holdfast/contracts/Envelope"
import type * as Message from "@holdfast/contracts/Message"
import type { DatabaseShape } from "@holdfast/database/Database"
import { Database } from "@holdfast/database/Database"
import type { Operation } from "@holdfast/database/Operation"
import { retention } from "@holdfast/database/Operation"
import type { ExecuteError, ReadError, WriteError } from "@holdfast/database/StoreError"
import { Sagas } from "@holdfast/database/SystemTables"
import type { Row } from "@holdfast/database/Table"
import * as Transaction from "@holdfast/database/Transaction"

import type { Subscription } from "@holdfast/messaging/Subscription"
import * as Subscriptions from "@holdfast/messaging/Subscription"
import { Degradation } from "@holdfast/resilience/Degradation"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Part } from "./Agent.ts"
import * as Job from "./Job.ts"
import { Peer } from "./Peer.ts"
import type { Advance, Definition, Instance, Request, Transition } from "./SagaMachine.ts"
import * as SagaMachine from "./SagaMachine.ts"

/**
 * A saga bound to its owner's store: each of its steps is a transaction of the owner (spec §18.1).
 *
 * @category models
 */
export interface Saga<Data, Action, R>
  extends Part<R | Peer | Database | Transaction.Transaction | Transaction.Reader>
{
  readonly type: string
  /** Starts the saga of the key, or returns the id of the one that runs. */
  readonly start: (
    key: string,
    data: Data
  ) => Effect.Effect<string, WriteError, Transaction.Transaction | Transaction.Reader | R>
  /** Moves the unfinished saga of the key; `false` when there is none, or when it is on its way back already. */
  readonly move: (
    key: string,
    transition: (data: Data) => Transition<Data, Action>
  ) => Effect.Effect<boolean, WriteError, Transaction.Transaction | Transaction.Reader | R>
  /** The unfinished saga of the key, else the newest one. */
  readonly find: (key: string) => Effect.Effect<Option.Option<Row<typeof Sagas>>, ReadError, Transaction.Reader>
  /** An operator's wish: ask the current step again, or give up and undo. Does nothing to a saga that has ended. */
  readonly operate: (
    id: string,
    wish: "retry" | "compensate"
  ) => Effect.Effect<boolean, WriteError, Transaction.Transaction | Transaction.Reader | R>
}

/** How often deadlines are looked at. */
const SWEEP = "1 second"

/** Deadlines handled in one sweep. */
const SWEEP_LIMIT = 100

/**
 * No deadline counts as missed before the agent has been awake and at level 0 so long, in milliseconds: while it was down,
 * stalled or degraded, answers were not given, or wait to be heard (spec §2.3).
 */
const CATCH_UP_MILLIS = 10_000

/** An agent that did not look for so long was not awake. */
const STALL_MILLIS = 3_000

/** Who asks a peer about a saga keeps others from asking for this long, in milliseconds. */
const LEASE_MILLIS = 10_000

/**
 * Binds a definition to its owner: the data's schema (it must not transform), how the owner carries out the saga's actions in
 * the same transaction, and how it adds to a request what the saga need not remember, since its tables do (an order's lines).
 *
 * @category constructors
 */
export const make = <Data, I, Action, R>(
  definition: Definition<Data, Action>,
  options: {
    readonly data: Schema.Schema<Data, I>
    readonly act: (
      action: Action,
      data: Data
    ) => Effect.Effect<void, WriteError, Transaction.Transaction | Transaction.Reader | R>
    readonly complete?: (
      request: Request,
      data: Data
    ) => Effect.Effect<Request, WriteError, Transaction.Transaction | Transaction.Reader | R>
  }
): Saga<Data, Action, R> => {
  const Stored = Schema.Struct({
    data: Schema.typeSchema(options.data),
    entered: Schema.Array(Schema.String),
    rounds: Schema.Record({ key: Schema.String, value: Schema.Int }),
    undoing: Schema.Array(Schema.String),
    reason: Schema.NullOr(Schema.String)
  })
  const decode = Schema.decodeUnknown(Stored)

  type InTransaction = Transaction.Transaction | Transaction.Reader | R
  type SagaRow = Row<typeof Sagas>

  const instanceOf = (row: SagaRow): Effect.Effect<Instance<Data>> =>
    decode(row.data).pipe(
      Effect.map((stored): Instance<Data> => ({
        ...stored,
        state: row.state,
        step: row.step,
        misses: row.misses,
        deadlineAt: row.deadlineAt
      })),
      // Written by this module with the same schema: anything else is a bug.
      Effect.orDie
    )

  const columns = (instance: Instance<Data>, now: number) => ({
    state: instance.state,
    step: instance.undoing[0] === undefined ? instance.step : `undo.${instance.undoing[0]}`,
    data: {
      data: instance.data,
      entered: instance.entered,
      rounds: instance.rounds,
      undoing: instance.undoing,
      reason: instance.reason
    },
    misses: instance.misses,
    deadlineAt: instance.deadlineAt,
    lastError: instance.reason,
    leaseOwner: null,
    leaseUntil: null,
    endedAt: SagaMachine.isEnded(instance.state) ? now : null
  })

  const carryOut = (id: string, advance: Advance<Data, Action>): Effect.Effect<void, WriteError, InTransaction> =>
    Effect.gen(function*() {
      for (const action of advance.actions) yield* options.act(action, advance.instance.data)
      for (const { id: requestId, request } of advance.requests) {
        const { message, payload } = options.complete === undefined
          ? request
          : yield* options.complete(request, advance.instance.data)
        yield* Transaction.emit(message, payload, { eventId: `${id}.${requestId}`, correlationId: id })
      }
    })

  const save = (
    row: SagaRow,
    advance: Advance<Data, Action> | undefined
  ): Effect.Effect<boolean, WriteError, InTransaction> =>
    advance === undefined
      ? Effect.succeed(false)
      : Effect.gen(function*() {
        const now = yield* Transaction.now
        yield* Transaction.update(Sagas, { id: row.id }, (saga) => ({ ...saga, ...columns(advance.instance, now) }))
        yield* carryOut(row.id, advance)
        return true
      })

  /** The saga's own step is stored; while it goes back, `undo.<step>` is shown instead. */
  const loaded = (row: SagaRow): Effect.Effect<Instance<Data>> =>
    Effect.map(
      instanceOf(row),
      (instance) =>
        instance.undoing.length === 0 ? instance : { ...instance, step: instance.entered.at(-1) ?? definition.first }
    )

  /** The unfinished one, else the newest: two may have started in the same millisecond. */
  const find = (key: string) =>
    Effect.map(
      Transaction.select(Sagas, {
        where: [["type", "=", definition.type], ["key", "=", key]],
        orderBy: [["startedAt", "desc"]],
        limit: 8
      }),
      (rows) => Option.fromNullable(rows.find((row) => row.endedAt === null) ?? rows[0])
    )

  const step = (
    row: Option.Option<SagaRow>,
    advance: (instance: Instance<Data>, now: number) => Advance<Data, Action> | undefined
  ): Effect.Effect<boolean, WriteError, InTransaction> =>
    Option.isNone(row)
      ? Effect.succeed(false)
      : Effect.gen(function*() {
        const now = yield* Transaction.now
        return yield* save(row.value, advance(yield* loaded(row.value), now))
      })

  const byId = (id: string) =>
    Effect.map(Transaction.get(Sagas, { id }), Option.filter((row) => row.type === definition.type))

  const start = (key: string, data: Data): Effect.Effect<string, WriteError, InTransaction> =>
    Effect.gen(function*() {
      const running = yield* find(key)
      if (Option.isSome(running) && running.value.endedAt === null) return running.value.id
      const id = yield* Transaction.nextId("sag")
      const now = yield* Transaction.now
      const advance = SagaMachine.start(definition, data, now)
      yield* Transaction.insert(Sagas, {
        id,
        type: definition.type,
        key,
        definitionVersion: definition.version,
        startedAt: now,
        ...columns(advance.instance, now)
      })
      yield* carryOut(id, advance)
      return id
    })

  const subscribe = (message: Message.Any): Subscription<InTransaction> =>
    Subscriptions.on(
      message,
      (payload: unknown, envelope: Envelope) =>
        Effect.flatMap(find(envelope.key), (row) =>
          step(row, (instance, now) => SagaMachine.receive(definition, instance, message, payload, now)))
    )

  const operation = <A>(
    id: string,
    row: SagaRow,
    handler: Effect.Effect<A, WriteError, InTransaction>
  ): Operation<A, WriteError, InTransaction> => ({
    id,
    command: `saga.${definition.type}`,
    writeClass: "mergeable",
    fingerprint: definition.type,
    cause: { correlationId: row.id, causationId: id },
    keepMillis: retention.other,
    handler,
    answer: () => "",
    refusal: () => undefined
  })

  /** One missed deadline: a question to a peer where the step has one and it is time, else the machine's answer. */
  const overdue = (
    database: DatabaseShape,
    row: SagaRow
  ): Effect.Effect<void, WriteError | ExecuteError, R | Peer> =>
    Effect.gen(function*() {
      const instance = yield* loaded(row)
      const query = SagaMachine.pendingQuery(definition, instance)
      const id = `saga:${row.id}:${row.version}`
      const stillSo = (
        advance: (instance: Instance<Data>, now: number) => Advance<Data, Action> | undefined,
        version: number
      ) =>
        Effect.flatMap(byId(row.id), (current) => step(Option.filter(current, (c) => c.version === version), advance))
      if (query === undefined) {
        yield* database.execute(
          operation(id, row, stillSo((current, now) => SagaMachine.miss(definition, current, now), row.version))
        )
        return
      }
      const leased = yield* database.execute(operation(
        id,
        row,
        Effect.gen(function*() {
          const now = yield* Transaction.now
          return yield* Transaction.update(Sagas, { id: row.id }, (saga) => ({
            ...saga,
            leaseOwner: database.agent,
            leaseUntil: now + LEASE_MILLIS
          }))
        })
      ))
      const version = leased._tag === "Done" ? leased.value.version : row.version
      const answer = yield* Effect.either(
        Effect.flatMap(Peer, (peer) => peer.get(query.agent, query.path(instance.data)))
      )
      yield* database.execute(operation(
        `${id}:answer`,
        row,
        stillSo((current, now) => {
          const transition = answer._tag === "Right" ? query.read(current.data, answer.right) : undefined
          return transition === undefined
            ? SagaMachine.miss(definition, current, now)
            : SagaMachine.move(definition, current, transition, now)
        }, version)
      ))
    })

  /** Since when each store's agent has been awake and well, and when it last looked. */
  const awake = new WeakMap<DatabaseShape, { readonly since: number; readonly last: number }>()

  const sweep: Effect.Effect<void, WriteError | ExecuteError, R | Peer | Database> = Effect.gen(function*() {
    const database = yield* Database
    const now = yield* Clock.currentTimeMillis
    const before = awake.get(database)
    const level = Option.match(yield* Effect.serviceOption(Degradation), {
      onNone: () => 0,
      onSome: (degradation) => degradation.current().level
    })
    const isNew = before === undefined || now - before.last > STALL_MILLIS || level > 0
    const since = isNew ? now : before.since
    awake.set(database, { since, last: now })
    if (now - since < CATCH_UP_MILLIS) return
    const due = yield* database.read(Transaction.select(Sagas, {
      where: [["type", "=", definition.type], ["deadlineAt", "<=", now]],
      orderBy: [["deadlineAt", "asc"]],
      limit: SWEEP_LIMIT
    }))
    const free = due.filter((row) => row.leaseUntil === null || row.leaseUntil < now)
    // One that fails must not keep the others from their turn; the job fails after them.
    const exits = yield* Effect.forEach(free, (row) => Effect.exit(overdue(database, row)), { concurrency: 16 })
    awake.set(database, { since, last: yield* Clock.currentTimeMillis })
    yield* Option.getOrElse(Exit.all(exits, { parallel: true }), () => Exit.void)
  })

  return {
    name: `saga-${definition.type}`,
    type: definition.type,
    start,
    find,
    move: (key, transition) =>
      Effect.flatMap(
        find(key),
        (row) => step(row, (instance, now) => SagaMachine.move(definition, instance, transition(instance.data), now))
      ),
    operate: (id, wish) =>
      Effect.flatMap(byId(id), (row) =>
        step(row, (instance, now) =>
          SagaMachine.isEnded(instance.state)
            ? undefined
            : wish === "retry"
            ? SagaMachine.retry(definition, instance, now)
            : SagaMachine.move(definition, instance, SagaMachine.fail("operator", instance.data), now))),
    subscriptions: SagaMachine.messages(definition).map(subscribe),
    jobs: [Job.worker(`saga-${definition.type}`, { every: SWEEP }, sweep)],
    surfaces: []
  }
}
