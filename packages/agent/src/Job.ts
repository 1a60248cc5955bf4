import type { Database } from "@holdfast/database/Database"
import type { Table } from "@holdfast/database/Table"
import type { Reader, Transaction } from "@holdfast/database/Transaction"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { AnyFailure } from "./Handler.ts"

/**
 * Work by the clock, as an operation: once per slot of time, whatever restarts in between.
 *
 * @category models
 */
export interface Timer<out R> {
  readonly _tag: "Timer"
  readonly name: string
  readonly everyMillis: number
  readonly run: Effect.Effect<void, AnyFailure, R>
}

/**
 * Work beside the operations: it reads intents, calls the outside and writes results, each write an operation of its own.
 *
 * @category models
 */
export interface Worker<out R> {
  readonly _tag: "Worker"
  readonly name: string
  readonly everyMillis: number
  readonly wakeOn: ReadonlySet<string>
  readonly run: Effect.Effect<void, AnyFailure, R>
}

/**
 * A job of an agent. It is supervised: a failure is logged and counted, and the job goes on after a growing pause.
 *
 * @category models
 */
export type Job<R> = Timer<R> | Worker<R>

/**
 * What jobs need besides the store.
 *
 * @category models
 */
export type Context<J> = J extends Timer<infer R> ? Exclude<R, Transaction | Reader>
  : J extends Worker<infer R> ? Exclude<R, Database>
  : never

/**
 * A job that runs in one transaction per slot: time since the epoch divided by the interval numbers the slots, and the
 * operation's id is `job:<agent>:<name>:<slot>`. A slot missed while the agent was down is not made up for.
 *
 * @category constructors
 */
export const timer = <E extends AnyFailure, R>(
  name: string,
  every: Duration.DurationInput,
  run: Effect.Effect<void, E, R>
): Timer<R> => ({ _tag: "Timer", name, everyMillis: Duration.toMillis(every), run })

/**
 * A job that runs at the start, after each commit that wrote one of the tables, and at least at the interval. It never
 * runs twice at once; commits during a run lead to one more run.
 *
 * @category constructors
 */
export const worker = <E extends AnyFailure, R>(
  name: string,
  when: { readonly wakeOn?: ReadonlyArray<Pick<Table, "name">>; readonly every: Duration.DurationInput },
  run: Effect.Effect<void, E, R>
): Worker<R> => ({
  _tag: "Worker",
  name,
  everyMillis: Duration.toMillis(when.every),
  wakeOn: new Set((when.wakeOn ?? []).map((table) => table.name)),
  run
})
