// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
import type { AssessmentRequest, AssessmentStage, Features } from "@holdfast/contracts/Fraud"
import { AssessOrder } from "@holdfast/contracts/FraudCommands"
import { CaseId, OrderId, PaymentId } from "@holdfast/contracts/Id"
import * as Identifier from "@holdfast/contracts/Identifier"
import type { Database } from "@holdfast/database/Database"
import * as Sqlite from "@holdfast/database/Sqlite"
import { Degradation, type Facts as LevelFacts } from "@holdfast/resilience/Degradation"
import * as AgentOperations from "@holdfast/testing/AgentOperations"
import { Effect, Layer } from "effect"
import { agent } from "../src/Agent.ts"
import { handlers } from "../src/Handlers.ts"
import { subscriptions } from "../src/Reactions.ts"
import { Settings } from "../src/Settings.ts"

export const KEY = "key-of-the-tests"
export const hash = (kind: Identifier.Kind, value: string) => Identifier.hash(KEY, kind, value)

const settings = { hashKey: KEY, explore: false }

const levelFacts: LevelFacts = {
  primary: "absent",
  standby: "ok",
  bus: "absent",
  cache: "absent",
  backlogFull: false,
  memoryAnswers: false
}

/** A store of its own for each test, with what else the agent needs. */
export const deskWith = (options: { readonly explore?: boolean; readonly busAway?: boolean } = {}) =>
  Layer.mergeAll(
    Sqlite.layerTemporary({ agent: agent.name, migrations: agent.migrations }),
    Layer.succeed(Settings, { ...settings, explore: options.explore === true }),
    Degradation.layer(
      { fallback: "allowed" },
      { ...levelFacts, bus: options.busAway === true ? "away" : "absent" }
    )
  )

export const desk = deskWith()

export const fraud = AgentOperations.make(
  agent.name,
  handlers,
  subscriptions.map((subscription) => ({
    ...subscription,
    handle: (envelope: Parameters<typeof subscription.handle>[0]) =>
      Effect.provideService(subscription.handle(envelope), Settings, settings)
  }))
)

const padded = (n: number) => String(n).padStart(26, "0")
export const orderId = (n: number) => OrderId.make(`ord_${padded(n)}`)
export const paymentId = (n: number) => PaymentId.make(`pay_${padded(n)}`)
export const caseId = (n: number) => CaseId.make(`fcs_${padded(n)}`)

/** 2010-12-01T08:26:00.000Z, when the retailer's first invoice was written. */
export const START = 1_291_191_960_000
export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR
export const instant = (millis: number) => new Date(millis).toISOString()

/** An order agreed elsewhere that gives no rule a reason. */
export const plain = (at = START, changes: Partial<Features> = {}): Features => ({
  placedAt: instant(at),
  channel: "phone",
  grand: { amount: 5_000, currency: "GBP" },
  billingCountry: "GB",
  shippingCountry: "GB",
  customer: { guest: true },
  ...changes
})

export const request = (n: number, features: Features, stage: AssessmentStage = "pre_auth"): AssessmentRequest => ({
  orderId: orderId(n),
  stage,
  features
})

/** Asks for an assessment over the bus and reads it. */
export const assess = (n: number, features: Features, stage: AssessmentStage = "pre_auth") =>
  Effect.gen(function*() {
    yield* fraud.hear(AssessOrder, request(n, features, stage))
    return yield* assessment(n, stage)
  })

export const assessment = (n: number, stage: AssessmentStage = "pre_auth") =>
  Effect.flatMap(fraud.call("listAssessments", { urlParams: { orderId: orderId(n) } }), ({ items }) => {
    const found = items.find((one) => one.stage === stage)
    return found === undefined ? Effect.dieMessage(`order ${n} is not assessed`) : Effect.succeed(found)
  })

/** 40 points and a review: R03, R05, R14. */
export const suspicious = (at = START, changes: Partial<Features> = {}): Features =>
  plain(at, {
    grand: { amount: 60_000, currency: "GBP" },
    shippingCountry: "FR",
    ip: { country: "GB", kind: "vpn" },
    ...changes
  })

export const codes = (found: { readonly hits: ReadonlyArray<{ readonly rule: string }> }) =>
  found.hits.map(({ rule }) => rule)

export type Run = Effect.Effect<void, unknown, Database>
