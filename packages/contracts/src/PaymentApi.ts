import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as Schema from "effect/Schema"
import { ChangesOutside, CommandPolicy } from "./CommandPolicy.ts"
import { Description, Summary } from "./Documentation.ts"
import { Common } from "./Errors.ts"
import { OrderId, PaymentId } from "./Id.ts"
import { CurrencyMismatch } from "./Money.ts"
import * as Page from "./Page.ts"
import {
  AuthorizationRequest,
  CaptureRequest,
  Payment,
  PaymentAttempt,
  PaymentLedgerEntry,
  PaymentState,
  Refund,
  RefundRequest,
  VoidRequest
} from "./Payment.ts"
import {
  CaptureExceedsAuthorized,
  PaymentExists,
  PaymentStateConflict,
  RefundExceedsCaptured,
  RefundKeyReused,
  RefundNeedsApproval,
  WebhookSignatureInvalid
} from "./PaymentErrors.ts"
import * as Text from "./Text.ts"

const byId = Schema.Struct({ id: PaymentId })

/**
 * Payments (spec §5).
 *
 * @category apis
 */
export const PaymentApi = HttpApiGroup.make("payment")
  .add(
    HttpApiEndpoint.post("create", "/payments")
      .setPayload(AuthorizationRequest)
      .addSuccess(Payment, { status: 202 })
      .addError(PaymentExists)
      .annotate(CommandPolicy, { writeClass: "provisional", idempotencyKey: "required" })
      .annotate(Summary, "Authorise a payment for an order")
      .annotate(
        Description,
        "The gateway is asked after the payment is stored: read the payment until it is authorized, declined or requires an action."
      )
  )
  .add(
    HttpApiEndpoint.get("get", "/payments/:id")
      .setPath(byId)
      .addSuccess(Payment)
      .annotate(Summary, "Read a payment")
  )
  .add(
    HttpApiEndpoint.get("list", "/payments")
      .setUrlParams(
        Schema.Struct({
          ...Page.parameters,
          orderId: Schema.optional(OrderId),
          state: Schema.optional(PaymentState),
          updatedSince: Page.updatedSince
        })
      )
      .addSuccess(Page.of(Payment))
      .annotate(Summary, "List payments, e.g. of an order")
  )
  .add(
    HttpApiEndpoint.post("capture", "/payments/:id/capture")
      .setPath(byId)
      .setPayload(CaptureRequest)
      .addSuccess(Payment, { status: 202 })
      .addError(CaptureExceedsAuthorized)
      .addError(PaymentStateConflict)
      .addError(CurrencyMismatch)
      .annotate(CommandPolicy, { writeClass: "provisional", idempotencyKey: "required" })
      .annotate(Summary, "Take authorised money")
  )
  .add(
    HttpApiEndpoint.post("void", "/payments/:id/void")
      .setPath(byId)
      .setPayload(VoidRequest)
      .addSuccess(Payment, { status: 202 })
      .addError(PaymentStateConflict)
      .annotate(CommandPolicy, { writeClass: "provisional", idempotencyKey: "required" })
      .annotate(Summary, "Release what is authorised and not captured")
  )
  .add(
    HttpApiEndpoint.post("refund", "/payments/:id/refunds")
      .setPath(byId)
      .setPayload(RefundRequest)
      .addSuccess(Refund, { status: 202 })
      .addError(RefundExceedsCaptured)
      .addError(RefundKeyReused)
      .addError(RefundNeedsApproval)
      .addError(PaymentStateConflict)
      .addError(CurrencyMismatch)
      .annotate(CommandPolicy, { writeClass: "provisional", idempotencyKey: "required" })
      .annotate(Summary, "Refund captured money")
  )
  .add(
    HttpApiEndpoint.get("refunds", "/payments/:id/refunds")
      .setPath(byId)
      .setUrlParams(Schema.Struct(Page.parameters))
      .addSuccess(Page.of(Refund))
      .annotate(Summary, "List the refunds of a payment")
  )
  .add(
    HttpApiEndpoint.post("sync", "/payments/:id/sync")
      .setPath(byId)
      .addSuccess(Payment, { status: 202 })
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
      .annotate(Summary, "Ask the gateway what became of a payment")
      .annotate(
        Description,
        "Answered at once; the gateway is asked after that, and the payment's state repaired. Never charges."
      )
  )
  .add(
    HttpApiEndpoint.get("attempts", "/payments/:id/attempts")
      .setPath(byId)
      .setUrlParams(Schema.Struct(Page.parameters))
      .addSuccess(Page.of(PaymentAttempt))
      .annotate(Summary, "List the calls of the gateway for a payment, oldest first")
  )
  .add(
    HttpApiEndpoint.get("ledger", "/payments/:id/ledger")
      .setPath(byId)
      .setUrlParams(Schema.Struct(Page.parameters))
      .addSuccess(Page.of(PaymentLedgerEntry))
      .annotate(Summary, "List the movements of a payment's money, oldest first")
  )
  .add(
    HttpApiEndpoint.post("webhook", "/webhooks/:provider")
      .setPath(Schema.Struct({ provider: Text.code(32) }))
      .setHeaders(
        Schema.Struct({
          "webhook-signature": Schema.optional(Schema.String.pipe(Schema.maxLength(1024))).annotations({
            description: "t=<unix seconds>,v1=<hex HMAC-SHA256 of \"t.body\">"
          })
        })
      )
      .addSuccess(Schema.Struct({ received: Schema.Boolean }))
      .addError(WebhookSignatureInvalid)
      .annotate(CommandPolicy, { writeClass: "mergeable", idempotencyKey: "optional" })
      .annotate(Summary, "Take a notification of a payment provider")
      .annotate(
        Description,
        "The raw body is checked against its signature, stored and acknowledged, and handled after that. An event that was stored before changes nothing."
      )
  )
  .add(
    HttpApiEndpoint.post("completeChallenge", "/sandbox/challenges/:id/complete")
      .setPath(byId)
      .setPayload(Schema.Struct({ outcome: Schema.Literal("authenticated", "failed") }))
      .addSuccess(Schema.Struct({ completed: Schema.Boolean }))
      .annotate(ChangesOutside, "the sandbox gateway")
      .annotate(Summary, "Sandbox: finish a payment's 3-D Secure challenge as the customer")
      .annotate(
        Description,
        "Changes the sandbox gateway only; the payment hears of it by a webhook. Not found when the payment has no challenge, or the gateway is a real one."
      )
  )
  .addError(Common)
