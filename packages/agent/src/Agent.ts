import type * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import type { Database } from "@holdfast/database/Database"
import type { Migration } from "@holdfast/database/Migration"
import type { Table } from "@holdfast/database/Table"
import type { Reader, Transaction } from "@holdfast/database/Transaction"
import type { Subscription } from "@holdfast/messaging/Subscription"
import type { Degradation } from "@holdfast/resilience/Degradation"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Handler from "./Handler.ts"
import type * as Job from "./Job.ts"
import type { Outside } from "./Outside.ts"

/**
 * A group of endpoints with its handlers.
 *
 * @category models
 */
export interface Surface<out R> {
  readonly api: HttpApiGroup.HttpApiGroup.Any
  readonly handlers: Readonly<Record<string, Handler.Handler<never, unknown, unknown, R>>>
}

/**
 * What a module of the kernel adds to an agent: a saga is its answers' subscriptions, its sweeper and its admin routes.
 *
 * @category models
 */
export interface Part<out R> {
  readonly name: string
  readonly subscriptions: ReadonlyArray<Subscription<R>>
  readonly jobs: ReadonlyArray<Job.Job<R>>
  /** Served next to the agent's own routes, under the same prefix. */
  readonly surfaces: ReadonlyArray<Surface<R>>
}

/**
 * What the runtime gives to every port of an agent.
 *
 * @category models
 */
export type Kernel = Database | Degradation | Outside

/**
 * What the runtime gives to every handler, subscription and job of an agent.
 *
 * @category models
 */
export type Provided = Kernel | Reader | Transaction

/**
 * An agent as data: what it stores, answers, hears and does. `R` is what is still to be provided.
 *
 * @category models
 */
export interface Agent<out Name extends string = string, out R = never> {
  readonly name: Name
  readonly title: string
  readonly tables: ReadonlyArray<Table>
  readonly migrations: ReadonlyArray<Migration>
  readonly surface: Surface<Handler.AnyService>
  readonly subscriptions: ReadonlyArray<Subscription<Handler.AnyService>>
  readonly jobs: ReadonlyArray<Job.Job<Handler.AnyService>>
  readonly parts: ReadonlyArray<Part<Handler.AnyService>>
  /** The ports provided so far; built once the store is open. */
  readonly ports: Layer.Layer<never, never, R | Kernel>
}

// Distributive on purpose: an empty list needs nothing.
type SubscriptionContext<S> = S extends Subscription<infer R> ? R : never
type PartContext<P> = P extends Part<infer R> ? R : never

/**
 * Composes an agent. What its handlers, subscriptions, jobs and sagas need beyond the kernel's own services stays in its
 * type until `provide` closes it.
 *
 * ```ts
 * export const agent = Agent.make({
 *   name: "giftcard", title: "Gift cards",
 *   tables: [Card], migrations: [initial],
 *   api: GiftCardApi, handlers,
 *   subscriptions: [Subscription.on(OrderConfirmed, redeem)],
 *   jobs: [Job.timer("expire-cards", "15 seconds", expire)]
 * })
 * ```
 *
 * @category constructors
 */
export const make = <
  const Name extends string,
  Api extends HttpApiGroup.HttpApiGroup.Any,
  Handlers extends Handler.For<Api>,
  const Subscriptions extends ReadonlyArray<Subscription<Handler.AnyService>> = [],
  const Jobs extends ReadonlyArray<Job.Job<Handler.AnyService>> = [],
  const Sagas extends ReadonlyArray<Part<Handler.AnyService>> = []
>(options: {
  /** Lower case; also the folder of the store's file and the prefix of the routes. */
  readonly name: Name
  readonly title: string
  readonly tables: ReadonlyArray<Table>
  readonly migrations: ReadonlyArray<Migration>
  readonly api: Api
  /** Made by `Handler.group`, which types each handler by its endpoint. */
  readonly handlers: Handlers
  readonly subscriptions?: Subscriptions
  readonly jobs?: Jobs
  readonly sagas?: Sagas
}): Agent<
  Name,
  Exclude<
    | Handler.Context<Handlers>
    | SubscriptionContext<Subscriptions[number]>
    | Job.Context<Jobs[number]>
    | PartContext<Sagas[number]>,
    Provided
  >
> => ({
  name: options.name,
  title: options.title,
  tables: options.tables,
  migrations: options.migrations,
  surface: { api: options.api, handlers: options.handlers },
  subscriptions: options.subscriptions ?? [],
  jobs: options.jobs ?? [],
  parts: options.sagas ?? [],
  ports: Layer.empty
})

/**
 * Gives the agent ports: a layer's services close requirements, and the layer's own requirements take their place. The
 * layer is built when the agent's store is open and released after the agent has drained.
 *
 * @category combinators
 */
export const provide: {
  <ROut, RIn>(
    layer: Layer.Layer<ROut, never, RIn>
  ): <Name extends string, R>(self: Agent<Name, R>) => Agent<Name, Exclude<R, ROut> | Exclude<RIn, Kernel>>
  <Name extends string, R, ROut, RIn>(
    self: Agent<Name, R>,
    layer: Layer.Layer<ROut, never, RIn>
  ): Agent<Name, Exclude<R, ROut> | Exclude<RIn, Kernel>>
} = dual(
  2,
  <Name extends string, R, ROut, RIn>(
    self: Agent<Name, R>,
    layer: Layer.Layer<ROut, never, RIn>
  ): Agent<Name, Exclude<R, ROut> | Exclude<RIn, Kernel>> => ({
    ...self,
    // The types hold what is open apart from what the runtime provides; that Exclude<RIn, Kernel> | Kernel covers RIn
    // is beyond the compiler.
    // @effect-diagnostics-next-line unsafeEffectTypeAssertion:off
    ports: Layer.provideMerge(self.ports, layer) as Layer.Layer<
      never,
      never,
      Exclude<R, ROut> | Exclude<RIn, Kernel> | Kernel
    >
  })
)
