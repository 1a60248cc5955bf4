import { PaymentRisk } from "@holdfast/contracts/Payment"
import { WebhookSignatureInvalid } from "@holdfast/contracts/PaymentErrors"
import { Database } from "@holdfast/database/Database"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { createHash, randomBytes } from "node:crypto"
import * as Alarm from "./Alarm.ts"
import type { Outcome } from "./Domain/Outcome.ts"
import * as Gateway from "./Gateway.ts"
import * as Behaviour from "./Sandbox/Behaviour.ts"
import * as SandboxStore from "./Sandbox/SandboxStore.ts"
import * as Webhooks from "./Webhooks.ts"
import * as WebhookSignature from "./WebhookSignature.ts"

/** Where the sandbox keeps its memory, and how long its slow things take. */
export interface Options {
  readonly directory: string
  /** Every answer takes this long. */
  readonly latency?: Duration.DurationInput
  /** What `slow_30s` takes. */
  readonly slow?: Duration.DurationInput
  /** How long a refund of `refund_async` is pending. */
  readonly refundAfter?: Duration.DurationInput
  /** How long after its capture `dispute_later` is disputed. */
  readonly disputeAfter?: Duration.DurationInput
  /** Signs webhooks; made at random for the folder when left out. */
  readonly secret?: string
}

export const provider = "sandbox"

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const AUTHORIZED_FOR = 7 * DAY
const CHALLENGE_FOR = 30 * MINUTE
const EVIDENCE_WITHIN = 7 * DAY
const REDELIVER_AFTER = 5_000

const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { exact: true })

const OutcomeJson = Schema.Union(
  Schema.TaggedStruct("Approved", {
    providerRef: Schema.String,
    authExpiresAt: optional(Schema.Number),
    risk: optional(PaymentRisk)
  }),
  Schema.TaggedStruct("ActionRequired", {
    providerRef: Schema.String,
    kind: Schema.String,
    redirectUrl: Schema.String,
    expiresAt: Schema.Number
  }),
  Schema.TaggedStruct("Pending", { providerRef: Schema.String }),
  Schema.TaggedStruct("Declined", {
    code: Schema.String,
    providerRef: optional(Schema.String),
    fingerprint: optional(Schema.String)
  })
)

const NoticeJson = Schema.Union(
  Schema.TaggedStruct("CallEnded", { idempotencyKey: Schema.String, outcome: OutcomeJson }),
  Schema.TaggedStruct("DisputeOpened", {
    disputeRef: Schema.String,
    authorizationRef: Schema.String,
    amount: Schema.Int.pipe(Schema.positive()),
    reason: Schema.String,
    dueBy: Schema.Number
  }),
  Schema.TaggedStruct("DisputeClosed", { disputeRef: Schema.String, outcome: Schema.Literal("won", "lost") })
)

const EventJson = Schema.Struct({ id: Schema.NonEmptyString, type: Schema.NonEmptyString, data: Schema.Unknown })

const decodeEvent = Schema.decodeUnknownOption(Schema.parseJson(EventJson))
const decodeNotice = Schema.decodeUnknownOption(Schema.Struct({ data: NoticeJson }))
const outcomeJson = Schema.parseJson(OutcomeJson)
const encodeOutcome = Schema.encodeSync(outcomeJson)
const decodeOutcome = Schema.decodeSync(outcomeJson)

/** The same words for the same key, so that a run of the sandbox can be repeated. */
const named = (prefix: string, seed: string): string =>
  `${prefix}_${createHash("sha256").update(seed).digest("hex").slice(0, 24)}`

const refPrefix = { authorize: "auth", capture: "cap", void: "void", refund: "re" } as const
type Kind = keyof typeof refPrefix

const notice = (decoded: Option.Option<{ readonly data: typeof NoticeJson.Type }>): Gateway.Notice =>
  Option.match(decoded, { onNone: () => ({ _tag: "Other" as const }), onSome: ({ data }) => data })

/** What is delivered before the authorisation is answered; a second copy comes after it. */
const beforeTheAnswer: Readonly<Record<Behaviour.Behaviour["webhooks"], ReadonlyArray<string>>> = {
  none: [],
  first: ["payment.authorized"],
  twice: ["payment.authorized"],
  out_of_order: ["payment.authorized", "payment.processing"]
}

/** What the sandbox can do that a real gateway cannot: play the customer, and show its books. */
export interface SandboxShape {
  /** The customer finishes the 3-D Secure challenge of a payment; `false` if it has none. */
  readonly completeChallenge: (paymentId: string, outcome: "authenticated" | "failed") => Effect.Effect<boolean>
  /** The bank decides the disputes of a payment. */
  readonly closeDispute: (paymentId: string, outcome: "won" | "lost") => Effect.Effect<void>
  /** The gateway's own books about a payment. */
  readonly charges: (paymentId: string) => ReadonlyArray<SandboxStore.Charge>
  /** What signs its webhooks. */
  readonly secret: string
}

/**
 * The sandbox behind {@link Gateway.Gateway}.
 *
 * @category services
 */
export class Sandbox extends Context.Tag("@holdfast/payment/SandboxGateway/Sandbox")<Sandbox, SandboxShape>() {}

const make = (options: Options) =>
  Effect.gen(function*() {
    const database = yield* Database
    const store = yield* Effect.acquireRelease(
      Effect.sync(() => SandboxStore.open(options.directory)),
      (opened) => Effect.sync(() => opened.close())
    )
    const millis = (duration: Duration.DurationInput | undefined, otherwise: Duration.DurationInput) =>
      Duration.toMillis(duration ?? otherwise)
    const latency = millis(options.latency, 0)
    const slow = millis(options.slow, "30 seconds")
    const refundAfter = millis(options.refundAfter, "5 seconds")
    const disputeAfter = millis(options.disputeAfter, "10 seconds")
    const secret = options.secret ?? store.setting("webhook-secret", () => randomBytes(32).toString("hex"))

    const eventIdOf = (seed: string, type: string) => named("evt", `${seed}:${type}`)

    const notify = (data: typeof NoticeJson.Type, type: string, seed: string, dueAt: number, copies = 1) => {
      const eventId = eventIdOf(seed, type)
      for (let copy = 0; copy < copies; copy++) {
        store.putDelivery({
          id: `${eventId}:${copy}`,
          eventId,
          body: JSON.stringify({ id: eventId, type, data }),
          dueAt: dueAt + copy,
          tries: 0
        })
      }
    }

    const deliver = (delivery: SandboxStore.Delivery) =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const raw = new TextEncoder().encode(delivery.body)
        const signature = WebhookSignature.sign(secret, raw, now)
        const taken = yield* Webhooks.receiving(
          { provider, raw, signature },
          `sandbox-delivery:${delivery.id}:${delivery.tries}:${now}`
        ).pipe(
          Effect.provideService(Gateway.Gateway, gateway),
          Effect.provideService(Database, database),
          Effect.isSuccess
        )
        if (taken) store.delivered(delivery.id, now)
        else store.postponed(delivery.id, now + REDELIVER_AFTER)
      })

    const deliverDue = Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      yield* Effect.forEach(store.due(now), deliver, { discard: true })
      return store.nextDue()
    })

    const alarm = yield* Alarm.make("sandbox-webhooks", deliverDue)

    const approved = (ref: string, token: string, now: number, threeDs: boolean): Outcome => ({
      _tag: "Approved",
      providerRef: ref,
      authExpiresAt: now + AUTHORIZED_FOR,
      risk: {
        avs: "both_match",
        cvc: "pass",
        threeDs: threeDs ? "authenticated" : "not_used",
        fingerprint: named("card", Behaviour.card(token))
      }
    })

    const authorize = (call: Gateway.AuthorizeCall, ref: string, now: number): Outcome => {
      const behaviour = Behaviour.of(call.methodToken)
      const charge: SandboxStore.Charge = {
        ref,
        paymentId: call.paymentId,
        token: call.methodToken,
        currency: call.currency,
        state: "declined",
        authorized: 0,
        captured: 0,
        voided: 0,
        refunded: 0
      }
      if (behaviour.authorize === "challenge") {
        store.putCharge({ ...charge, state: "challenged" })
        return {
          _tag: "ActionRequired",
          providerRef: ref,
          kind: "threeds",
          redirectUrl: `/payment/sandbox/challenges/${call.paymentId}`,
          expiresAt: now + CHALLENGE_FOR
        }
      }
      if (behaviour.authorize !== "approve") {
        store.putCharge(charge)
        return {
          _tag: "Declined",
          providerRef: ref,
          code: behaviour.authorize.decline,
          fingerprint: named("card", Behaviour.card(call.methodToken))
        }
      }
      store.putCharge({ ...charge, state: "authorized", authorized: call.amount })
      if (call.captureMode === "automatic") captured(ref, call.amount, false, now)
      return approved(ref, call.methodToken, now, false)
    }

    const captured = (ref: string, amount: number, final: boolean, now: number) => {
      const charge = store.charge(ref)
      if (charge === undefined) return
      const left = charge.authorized - charge.captured - charge.voided - amount
      store.putCharge({
        ...charge,
        captured: charge.captured + amount,
        voided: charge.voided + (final ? left : 0)
      })
      if (Behaviour.of(charge.token).disputed) {
        const disputeRef = named("dp", `${ref}:${charge.captured + amount}`)
        notify(
          {
            _tag: "DisputeOpened",
            disputeRef,
            authorizationRef: ref,
            amount,
            reason: "fraudulent",
            dueBy: now + disputeAfter + EVIDENCE_WITHIN
          },
          "dispute.opened",
          disputeRef,
          now + disputeAfter
        )
      }
    }

    const declined = (code: string, ref: string): Outcome => ({ _tag: "Declined", code, providerRef: ref })
    const done = (ref: string): Outcome => ({ _tag: "Approved", providerRef: ref })

    const capture = (call: Gateway.CaptureCall, charge: SandboxStore.Charge, ref: string, now: number): Outcome => {
      const { capture } = Behaviour.of(charge.token)
      if (charge.state !== "authorized") return declined("not_authorized", ref)
      if (call.amount > charge.authorized - charge.captured - charge.voided) return declined("amount_too_large", ref)
      if (capture !== "approve") return declined(capture.decline, ref)
      captured(charge.ref, call.amount, call.final, now)
      return done(ref)
    }

    const release = (charge: SandboxStore.Charge, ref: string): Outcome => {
      if (charge.state === "challenged") {
        store.putCharge({ ...charge, state: "cancelled" })
        return done(ref)
      }
      const left = charge.authorized - charge.captured - charge.voided
      if (charge.state !== "authorized" || left === 0) return declined("nothing_to_void", ref)
      store.putCharge({ ...charge, voided: charge.voided + left })
      return done(ref)
    }

    const refund = (call: Gateway.FollowUpCall, charge: SandboxStore.Charge, ref: string): Outcome => {
      if (call.amount > charge.captured - charge.refunded) return declined("amount_too_large", ref)
      store.putCharge({ ...charge, refunded: charge.refunded + call.amount })
      return done(ref)
    }

    /** Does the call, once for its key, and remembers its result. */
    const perform = (
      kind: Kind,
      call: Gateway.Call,
      request: SandboxStore.Request,
      now: number,
      run: (ref: string) => Outcome
    ): SandboxStore.Request =>
      store.transaction(() => {
        const behaviour = Behaviour.of(request.token)
        const outcome = run(request.ref)
        const later = kind === "authorize" && behaviour.answer === "slow"
          ? slow
          : kind === "refund" && behaviour.refund === "later" && outcome._tag === "Approved"
          ? refundAfter
          : 0
        const performed = { ...request, outcome: encodeOutcome(outcome), readyAt: now + later }
        store.putRequest(performed)
        const key = call.idempotencyKey
        const ended = { _tag: "CallEnded", idempotencyKey: key, outcome } as const
        if (kind === "refund" && later > 0) notify(ended, "refund.succeeded", key, now + later)
        if (kind === "authorize") {
          if (behaviour.webhooks !== "none") {
            notify(ended, "payment.authorized", key, now, behaviour.webhooks === "twice" ? 2 : 1)
          }
          if (behaviour.webhooks === "out_of_order") {
            const pending = { _tag: "Pending", providerRef: request.ref } as const
            notify({ ...ended, outcome: pending }, "payment.processing", key, now + 1)
          }
        }
        return performed
      })

    const outcomeOf = (request: SandboxStore.Request, now: number): Outcome | undefined =>
      request.outcome === null
        ? undefined
        : now < request.readyAt
        ? { _tag: "Pending", providerRef: request.ref }
        : decodeOutcome(request.outcome)

    const onCall = (
      kind: Kind,
      call: Gateway.Call & { readonly methodToken?: string; readonly authorizationRef?: string },
      run: (ref: string, now: number, charge: SandboxStore.Charge | undefined) => Outcome
    ): Effect.Effect<Outcome, Gateway.GatewayError> =>
      Effect.gen(function*() {
        if (latency > 0) yield* Effect.sleep(latency)
        const now = yield* Clock.currentTimeMillis
        const charge = call.authorizationRef === undefined ? undefined : store.charge(call.authorizationRef)
        const token = call.methodToken ?? charge?.token
        if (token === undefined) {
          return yield* new Gateway.GatewayRejected({ detail: `no charge ${call.authorizationRef ?? ""}` })
        }
        const { answer, webhooks } = Behaviour.of(token)
        const { idempotencyKey: key, ...parameters } = call
        const fingerprint = JSON.stringify({ kind, ...parameters })
        const known = store.request(key)
        if (known !== undefined && known.fingerprint !== fingerprint) {
          return yield* new Gateway.GatewayKeyInUse({ detail: `${key} was used with other parameters` })
        }
        const request = known ??
          { key, ref: named(refPrefix[kind], key), kind, fingerprint, token, calls: 0, outcome: null, readyAt: 0 }
        const counted = { ...request, calls: request.calls + 1 }
        const failing = kind === "authorize" && answer === "error_first" && counted.calls === 1
        if (answer === "never" || failing) store.putRequest(counted)
        if (answer === "never") return yield* Effect.never
        if (failing) return yield* new Gateway.GatewayAway({ reason: "server_error", detail: "500" })
        const first = counted.outcome === null
        if (!first && kind === "authorize" && now < counted.readyAt) {
          return yield* new Gateway.GatewayKeyInUse({ detail: `${key} is under way` })
        }
        const performed = first ? perform(kind, call, counted, now, (ref) => run(ref, now, charge)) : counted
        if (kind === "authorize" && first) {
          if (answer === "lost") return yield* Effect.never
          if (performed.readyAt > now) yield* Effect.sleep(performed.readyAt - now)
          yield* Effect.forEach(beforeTheAnswer[webhooks], (type) => {
            const delivery = store.delivery(`${eventIdOf(key, type)}:0`)
            return delivery === undefined ? Effect.void : deliver(delivery)
          }, { discard: true })
        }
        yield* alarm.ring
        const at = yield* Clock.currentTimeMillis
        return outcomeOf(performed, at) ?? { _tag: "Pending", providerRef: performed.ref }
      })

    const needed = (charge: SandboxStore.Charge | undefined, use: (charge: SandboxStore.Charge) => Outcome) =>
      charge === undefined ? declined("no_charge", "") : use(charge)

    const gateway: Gateway.GatewayShape = Gateway.Gateway.guarded({
      provider,
      authorize: (call) => onCall("authorize", call, (ref, now) => authorize(call, ref, now)),
      capture: (call) =>
        onCall("capture", call, (ref, now, charge) => needed(charge, (known) => capture(call, known, ref, now))),
      void: (call) => onCall("void", call, (ref, _, charge) => needed(charge, (known) => release(known, ref))),
      refund: (call) => onCall("refund", call, (ref, _, charge) => needed(charge, (known) => refund(call, known, ref))),
      retrieve: (of) =>
        Effect.gen(function*() {
          if (latency > 0) yield* Effect.sleep(latency)
          const now = yield* Clock.currentTimeMillis
          const request = "idempotencyKey" in of ? store.request(of.idempotencyKey) : store.requestByRef(of.providerRef)
          if (request === undefined) return undefined
          if (Behaviour.of(request.token).answer === "never") return yield* Effect.never
          return outcomeOf(request, now)
        }),
      verifyWebhook: (raw, signature, now) =>
        Either.flatMap(WebhookSignature.verify(secret, raw, signature, now), () =>
          Option.match(decodeEvent(new TextDecoder().decode(raw)), {
            onNone: () =>
              Either.left(new WebhookSignatureInvalid({ reason: "malformed" })),
            onSome: ({ data, id, type }) => Either.right({ eventId: id, type, payload: { id, type, data } })
          })),
      interpret: (payload) =>
        notice(decodeNotice(payload))
    })

    const completeChallenge = (paymentId: string, outcome: "authenticated" | "failed") =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const charge = store.chargesOf(paymentId).find(({ state }) => state === "challenged")
        const request = charge === undefined ? undefined : store.requestByRef(charge.ref)
        if (charge === undefined || request === undefined) return false
        store.transaction(() => {
          const { amount } = fingerprintOf(request.fingerprint)
          const ended: Outcome = outcome === "authenticated"
            ? approved(charge.ref, charge.token, now, true)
            : { _tag: "Declined", code: "authentication_failed", providerRef: charge.ref }
          store.putCharge(
            outcome === "authenticated"
              ? { ...charge, state: "authorized", authorized: amount }
              : { ...charge, state: "declined" }
          )
          store.putRequest({ ...request, outcome: encodeOutcome(ended) })
          notify(
            { _tag: "CallEnded", idempotencyKey: request.key, outcome: ended },
            `payment.challenge_${outcome}`,
            request.key,
            now
          )
        })
        yield* alarm.ring
        return true
      })

    const closeDispute = (paymentId: string, outcome: "won" | "lost") =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        for (const charge of store.chargesOf(paymentId)) {
          const disputeRef = named("dp", `${charge.ref}:${charge.captured}`)
          notify({ _tag: "DisputeClosed", disputeRef, outcome }, "dispute.closed", disputeRef, now)
        }
        yield* alarm.ring
      })

    yield* alarm.ring
    const sandbox: SandboxShape = {
      completeChallenge,
      closeDispute,
      charges: (paymentId) => store.chargesOf(paymentId),
      secret
    }
    return Context.make(Gateway.Gateway, gateway).pipe(Context.add(Sandbox, sandbox))
  })

const fingerprintOf = Schema.decodeSync(Schema.parseJson(Schema.Struct({ amount: Schema.Number })))

/**
 * A gateway that answers as its tokens say (spec §5): deterministic, with idempotency keys, books and webhooks in a file
 * of its own in `directory`. Time-outs and delays run by the Clock.
 *
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<Gateway.Gateway | Sandbox, never, Database> =>
  Layer.scopedContext(make(options))
