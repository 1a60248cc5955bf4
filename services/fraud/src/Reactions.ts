import { AssessOrder } from "@holdfast/contracts/FraudCommands"
import type { OrderId } from "@holdfast/contracts/Id"
import { toMillis } from "@holdfast/contracts/Instant"
import { OrderCancelled, OrderDelivered } from "@holdfast/contracts/OrderEvents"
import {
  AuthorizationExpiring,
  DisputeClosed,
  DisputeOpened,
  PaymentAuthorized,
  PaymentDeclined,
  PaymentRefunded
} from "@holdfast/contracts/PaymentEvents"
import * as Transaction from "@holdfast/database/Transaction"
import * as Subscription from "@holdfast/messaging/Subscription"
import * as Effect from "effect/Effect"
import * as Assessing from "./Assessing.ts"
import * as Labelling from "./Labelling.ts"
import * as Memory from "./Memory.ts"
import * as Repository from "./Repository.ts"
import * as Reviewing from "./Reviewing.ts"

const PAYMENT = "agent:payment"

/** Declines that say nothing of the card: the gateway failed, or the customer did not come back. */
const notTheCard: ReadonlySet<string> = new Set(["gateway_error", "action_expired"])

const authorizedUntil = (orderId: OrderId, instant: string | undefined) =>
  instant === undefined ? Effect.void : Reviewing.authorizedUntil(orderId, toMillis(instant))

/** What the agent does when it hears others. Events about orders that were never assessed leave nothing behind. */
export const subscriptions = [
  Subscription.on(AssessOrder, (request) =>
    Effect.gen(function*() {
      const known = yield* Repository.assessmentAt(request.orderId, request.stage)
      // A command is heard only over the bus: then the counters are up to date.
      yield* known === undefined ? Assessing.assess(request, { counters: "fresh" }) : Assessing.tellAgain(known)
    })),

  Subscription.on(PaymentAuthorized, ({ authExpiresAt, orderId, risk }) =>
    Effect.gen(function*() {
      yield* Memory.amend(orderId, (profile) => ({
        ...profile,
        card: Memory.mergeCard(profile.card, risk),
        authExpiresAt: authExpiresAt === undefined ? profile.authExpiresAt : toMillis(authExpiresAt)
      }))
      const profile = yield* Memory.assessedProfile(orderId)
      if (profile !== undefined && risk.fingerprint !== undefined) {
        yield* Memory.seeCard(orderId, profile.placedAt, risk.fingerprint)
      }
      yield* authorizedUntil(orderId, authExpiresAt)
    })),

  Subscription.on(AuthorizationExpiring, ({ authExpiresAt, orderId }) => authorizedUntil(orderId, authExpiresAt)),

  Subscription.on(PaymentDeclined, ({ code, fingerprint, orderId }) =>
    Effect.gen(function*() {
      if (notTheCard.has(code)) return
      const profile = yield* Memory.assessedProfile(orderId)
      if (profile === undefined) return
      const card = fingerprint === undefined
        ? undefined
        : yield* Memory.seeCard(orderId, profile.placedAt, fingerprint)
      yield* Memory.countDecline(orderId, profile.placedAt, card)
    })),

  Subscription.on(
    PaymentRefunded,
    ({ orderId, rmaId }) =>
      rmaId === undefined ? Effect.void : Memory.amend(orderId, (profile) => ({ ...profile, returned: true }))
  ),

  Subscription.on(
    DisputeOpened,
    ({ orderId }) => Effect.flatMap(Transaction.now, (now) => Labelling.label(orderId, "chargeback", now, PAYMENT))
  ),

  Subscription.on(DisputeClosed, ({ orderId, outcome }) =>
    outcome === "lost"
      ? Effect.void
      : Effect.flatMap(Transaction.now, (now) => Labelling.label(orderId, "cleared", now, PAYMENT))),

  Subscription.on(
    OrderCancelled,
    ({ full, orderId }) =>
      full ? Effect.zipRight(Memory.rememberCancelled(orderId), Reviewing.end(orderId)) : Effect.void
  ),

  Subscription.on(
    OrderDelivered,
    ({ orderId }) => Memory.amend(orderId, (profile) => ({ ...profile, delivered: true }))
  )
] as const
