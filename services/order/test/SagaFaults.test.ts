import * as SagaMachine from "@holdfast/agent/SagaMachine"
import type { AssessmentOutcome } from "@holdfast/contracts/Fraud"
import { OrderId, OrderLineId, PaymentId, ReservationId } from "@holdfast/contracts/Id"
import { CommitReservation, ReserveStock } from "@holdfast/contracts/InventoryCommands"
import { ReservationExpired, ReservationReleased } from "@holdfast/contracts/InventoryEvents"
import { AuthorizePayment } from "@holdfast/contracts/PaymentCommands"
import { PaymentVoided } from "@holdfast/contracts/PaymentEvents"
import * as OperationIds from "@holdfast/database/OperationIds"
import { assert, describe, it } from "vitest"
import * as Cancellation from "../src/Sagas/Cancellation.ts"
import * as Checkout from "../src/Sagas/Checkout.ts"
import type { Data as CheckoutData } from "../src/Sagas/CheckoutData.ts"
import * as CheckoutPayment from "../src/Sagas/CheckoutPayment.ts"
import type { Sent } from "./Participants.ts"
import { Fraud, Inventory, Payments } from "./Participants.ts"

/** Mulberry32: small, seeded, good enough to shuffle. */
const generator = (seed: number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

const LINES = [{ sku: "A", qty: 3 }, { sku: "B", qty: 1 }, { sku: "A", qty: 2 }]
const UNITS = 6
/** Of the outside: how often something happens, and how long reservations do not expire at the end. */
const TICKS = 40
const QUIET_TICKS = 34
const FOREIGN_UNITS = 1
const FOREIGN_PAYMENTS = 1

/**
 * A world with a network that delays, doubles, reorders and loses. Where the participants remember what was undone before it
 * was done, messages may be lost for good; where they do not, a lost message comes after all, hours later: the bus of the
 * house loses nothing, and an undo that nobody asks for twice needs that.
 */
class World {
  now = 0
  readonly random: () => number
  readonly forgetful: boolean
  readonly inventory: Inventory
  readonly payments: Payments
  readonly fraud: Fraud
  readonly history: Array<string> = []
  private readonly queue: Array<{ readonly at: number; readonly n: number; readonly run: () => void }> = []
  private readonly handled = new Set<string>()
  private n = 0
  private peaceful = false
  /** Others' doings, that come between. */
  private gossip: ReadonlyArray<Sent> = []
  private listener: (event: Sent) => void = () => {}

  constructor(seed: number) {
    this.random = generator(seed)
    this.forgetful = this.random() < 0.5
    this.inventory = new Inventory({ A: this.random() < 0.9 ? 10 : 4, B: 10, C: FOREIGN_UNITS }, {
      forgetful: this.forgetful
    })
    this.payments = new Payments({ forgetful: this.forgetful })
    const outcomes = new Map<string, AssessmentOutcome>()
    this.fraud = new Fraud((_, stage) => {
      const known = outcomes.get(stage)
      if (known !== undefined) return known
      const outcome = this.pick<AssessmentOutcome>([
        ["approve", 12],
        ["review", 3],
        ["block_and_review", 2],
        ["decline", 1]
      ])
      outcomes.set(stage, outcome)
      return outcome
    })
  }

  pick<A>(weighted: ReadonlyArray<readonly [A, number]>): A {
    let left = this.random() * weighted.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [value, weight] of weighted) {
      left -= weight
      if (left < 0) return value
    }
    return (weighted[0] as readonly [A, number])[0]
  }

  later(millis: number, run: () => void): void {
    this.queue.push({ at: this.now + millis, n: this.n++, run })
  }

  /** Runs until nothing is under way any more; `false` when the world does not come to rest. */
  run(): boolean {
    for (let steps = 0; steps < 20_000; steps++) {
      let next = 0
      for (let i = 1; i < this.queue.length; i++) {
        const [a, b] = [this.queue[i], this.queue[next]]
        if (a !== undefined && b !== undefined && (a.at < b.at || (a.at === b.at && a.n < b.n))) next = i
      }
      const [due] = this.queue.splice(next, 1)
      if (due === undefined) return true
      this.now = Math.max(this.now, due.at)
      due.run()
    }
    return false
  }

  /** Events that are not about what the saga did, spoken in between what it does. */
  spread(gossip: ReadonlyArray<Sent>, listener: (event: Sent) => void): void {
    this.gossip = gossip
    this.listener = listener
  }

  /** From now on the network is what it should be. */
  calm(): void {
    this.peaceful = true
  }

  private carry(what: Sent, deliver: () => void, mayBeLost: boolean): void {
    const copies = this.peaceful || this.random() >= 0.15 ? 1 : 2
    for (let i = 0; i < copies; i++) {
      const fate = this.peaceful ? 1 : this.random()
      if (fate < 0.08 && mayBeLost && !this.forgetful) continue
      const delay = fate < 0.14
        ? this.random() * 3 * HOUR
        : fate < 0.3
        ? this.random() * 2 * MINUTE
        : this.random() * 500
      this.later(delay, () => {
        this.history.push(`${this.now} ${what.message.name} ${JSON.stringify(what.payload)}`)
        deliver()
      })
    }
  }

  /** A command: its receiver handles an id once, whatever it does to the copies. */
  command(id: string, what: Sent, reply: (event: Sent) => void): void {
    for (const event of this.gossip) if (this.random() < 0.3) this.event(event, this.listener)
    this.carry(what, () => {
      if (this.handled.has(id)) return
      this.handled.add(id)
      const receiver = what.message.name.slice(0, what.message.name.indexOf("."))
      const answers = receiver === "inventory"
        ? this.inventory.handle(what)
        : receiver === "payment"
        ? this.payments.handle(what)
        : this.fraud.handle(what)
      for (const answer of answers) this.event(answer, reply)
    }, !id.includes("late."))
  }

  event(what: Sent, reply: (event: Sent) => void): void {
    this.carry(what, () => reply(what), true)
  }
}

/** The owner's side: what `Saga.ts` does, without a store. */
class Running<Data, Action> {
  instance: SagaMachine.Instance<Data>
  readonly actions: Array<Action> = []
  private readonly world: World
  private readonly definition: SagaMachine.Definition<Data, Action>
  private readonly id: string
  private readonly complete: (request: SagaMachine.Request) => SagaMachine.Request
  private watching = false

  constructor(
    world: World,
    definition: SagaMachine.Definition<Data, Action>,
    id: string,
    data: Data,
    complete: (request: SagaMachine.Request) => SagaMachine.Request = (request) => request
  ) {
    this.complete = complete
    this.world = world
    this.definition = definition
    this.id = id
    const advance = SagaMachine.start(definition, data, world.now)
    this.instance = advance.instance
    this.take(advance)
  }

  take(advance: SagaMachine.Advance<Data, Action> | undefined): void {
    if (advance === undefined) return
    this.instance = advance.instance
    this.actions.push(...advance.actions)
    this.world.history.push(
      `${this.world.now} -> ${advance.instance.state} ${advance.instance.step} undoing [${advance.instance.undoing.join()}]`
    )
    for (const { id, request } of advance.requests) {
      this.world.command(`${this.id}.${id}`, this.complete(request), (event) => this.hear(event))
    }
    this.watch()
  }

  hear(event: Sent): void {
    this.take(SagaMachine.receive(this.definition, this.instance, event.message, event.payload, this.world.now))
  }

  move(transition: (data: Data) => SagaMachine.Transition<Data, Action>): void {
    this.take(SagaMachine.move(this.definition, this.instance, transition(this.instance.data), this.world.now))
  }

  private watch(): void {
    const { deadlineAt } = this.instance
    if (this.watching || deadlineAt === null) return
    this.watching = true
    this.world.later(Math.max(0, deadlineAt - this.world.now), () => {
      this.watching = false
      if (this.instance.deadlineAt !== null && this.instance.deadlineAt <= this.world.now) this.overdue()
      else this.watch()
    })
  }

  private overdue(): void {
    const query = SagaMachine.pendingQuery(this.definition, this.instance)
    if (query !== undefined && this.world.random() < 0.8) {
      const id = query.path(this.instance.data).split("/").at(-1) ?? ""
      const body = query.agent === "inventory" ? this.world.inventory.look(id) : this.world.payments.look(id)
      const transition = query.read(this.instance.data, body)
      if (transition !== undefined) {
        this.take(SagaMachine.move(this.definition, this.instance, transition, this.world.now))
        return
      }
    }
    this.take(SagaMachine.miss(this.definition, this.instance, this.world.now))
  }
}

const isAction = <T extends string>(tag: T) => (action: { readonly _tag: string }) => action._tag === tag

/** One order's checkout in a world of faults, with a customer and an analyst who do as they like. */
const checkOut = (seed: number) => {
  const world = new World(seed)
  const id = OperationIds.make(`order-${seed}`)
  const orderId = OrderId.make(id("ord"))
  const reservationIds = [0, 1, 2].map(() => ReservationId.make(id("rsv")))
  const paidByChannel = world.random() < 0.1
  const paymentIds = paidByChannel ? [] : [0, 1].map(() => PaymentId.make(id("pay")))
  const token = () => world.pick([["ok", 10], ["decline", 3], ["stolen", 1], ["threeds", 2], ["slow", 2], ["never", 1]])
  const data: CheckoutData = {
    orderId,
    amount: { amount: world.random() < 0.5 ? 5_000 : 50_000, currency: "GBP" },
    shipTo: { country: "GB", postalCode: "SW1A 1AA" },
    features: { placedAt: "2011-01-04T10:00:00.000Z", grand: { amount: 5_000, currency: "GBP" } },
    expiresAt: 30 * MINUTE,
    reservationId: reservationIds[0] as ReservationId,
    reservationIds,
    paymentId: paymentIds[0] ?? null,
    paymentIds,
    methodToken: paidByChannel ? null : token(),
    authorized: false,
    assessed: [],
    assessmentId: null,
    review: "none",
    unheard: []
  }
  const lines = LINES.map(({ qty, sku }) => ({ lineId: OrderLineId.make(id("oli")), sku, qty }))
  const saga = new Running(
    world,
    Checkout.definition,
    "sag",
    data,
    (request) => Checkout.withLines(request)?.(lines) ?? request
  )
  const hear = (event: Sent) => saga.hear(event)
  const customerLeaves = world.random() < 0.2
  if (customerLeaves) {
    world.later(world.random() ** 3 * 30 * MINUTE, () => saga.move((now) => SagaMachine.fail("customer", now)))
  }
  // Someone else holds stock and money for the same order: that is not checkout's to use or to undo.
  const others = { reservationId: ReservationId.make(id("rsv")), paymentId: PaymentId.make(id("pay")), orderId }
  const gone = { reservationId: ReservationId.make(id("rsv")), paymentId: PaymentId.make(id("pay")), orderId }
  const foreign = [
    ...world.inventory.handle(SagaMachine.request(ReserveStock, {
      ...others,
      lines: [{ lineId: OrderLineId.make(id("oli")), sku: "C", qty: FOREIGN_UNITS }]
    })),
    ...world.inventory.handle(SagaMachine.request(CommitReservation, others)),
    ...world.payments.handle(SagaMachine.request(AuthorizePayment, {
      ...others,
      amount: data.amount,
      methodToken: "ok",
      captureMode: "manual"
    })),
    SagaMachine.request(PaymentVoided, { ...gone, amount: data.amount }),
    SagaMachine.request(ReservationReleased, { ...gone, lines: [] }),
    SagaMachine.request(ReservationExpired, gone)
  ]
  world.spread(foreign, hear)
  const shortLived = world.random() < 0.3
  let paidAgain = 0
  // Reservations expire, gateways and customers answer late, analysts take their time, declined customers try again.
  const analystComes = world.random() < 0.9
  const unquiet = (left: number): void => {
    if (left === 0) return
    world.later(world.random() * 4 * MINUTE, () => {
      // Only for a while, so that stock which nobody releases is seen at the end.
      if (left > QUIET_TICKS && world.random() < (shortLived ? 0.7 : 0.1)) {
        for (const reservation of world.inventory.reservations.keys()) {
          for (const event of world.inventory.expire(reservation)) world.event(event, hear)
        }
      }
      if (world.random() < 0.4) {
        for (const payment of world.payments.payments.keys()) {
          for (const event of world.payments.settle(payment)) world.event(event, hear)
        }
      }
      if (analystComes && world.random() < 0.3) {
        const decision = world.random() < 0.7 ? "approve" : "decline"
        for (const event of world.fraud.decide(orderId, decision)) world.event(event, hear)
      }
      if (saga.instance.state === "running" && saga.instance.step === "await_payment" && world.random() < 0.5) {
        paidAgain++
        saga.move((now) => CheckoutPayment.payAgain(now, PaymentId.make(id("pay")), PaymentId.make(id("pay")), token()))
      }
      unquiet(left - 1)
    })
  }
  unquiet(TICKS)
  const rests = world.run()
  return { world, saga, orderId, paidByChannel, paidAgain, rests }
}

const SEEDS = Number(process.env["SAGA_SEEDS"] ?? 3_000)

const describeRun = (seed: number, world: World) => `seed ${seed}\n${world.history.join("\n")}`

describe("checkout under dropped, doubled, reordered messages and missed deadlines", () => {
  it(
    "always ends done, compensated or needs_operator, and never holds stock or money for an order that has ended badly",
    () => {
      const ends: Record<string, number> = {}
      const seen = { late: 0, paidAgain: 0, reservedAgain: 0 }
      for (let seed = 1; seed <= SEEDS; seed++) {
        const { orderId, paidAgain, paidByChannel, rests, saga, world } = checkOut(seed)
        const why = () => describeRun(seed, world)
        const { state } = saga.instance
        ends[state] = (ends[state] ?? 0) + 1
        if ((saga.instance.rounds["late"] ?? 0) > 0) seen.late++
        if (state === "compensated" && (saga.instance.rounds["reserve"] ?? 0) > 1) seen.reservedAgain++
        if (state === "done" && paidAgain > 0) seen.paidAgain++
        if (!rests || !["done", "compensated", "needs_operator"].includes(state)) {
          assert.fail(`${state} ${saga.instance.step}: ${why()}`)
        }
        const held = world.inventory.heldFor(orderId) - FOREIGN_UNITS
        const committed = world.inventory.heldFor(orderId, "committed") - FOREIGN_UNITS
        const authorized = world.payments.authorized(orderId).length - FOREIGN_PAYMENTS
        const confirms = saga.actions.filter(isAction("Confirm")).length
        const cancels = saga.actions.filter(isAction("Cancel")).length
        if (state === "done") {
          assert.strictEqual(confirms, 1, why())
          assert.strictEqual(cancels, 0, why())
          assert.strictEqual(committed, UNITS, why())
          assert.strictEqual(held, UNITS, why())
          assert.strictEqual(
            [...world.inventory.reservations.values()].filter((one) => one.state === "committed").length,
            1 + 1,
            why()
          )
          assert.strictEqual(authorized, paidByChannel ? 0 : 1, why())
        } else {
          assert.strictEqual(confirms, 0, why())
        }
        if (state === "compensated") {
          assert.strictEqual(cancels, 1, why())
          assert.strictEqual(held, 0, why())
          assert.strictEqual(authorized, 0, why())
        }
        const free = [...world.inventory.available.values()].reduce((sum, units) => sum + units, 0)
        assert.include([20 - held, 14 - held], free, why())
      }
      // The faults must provably reach every end, and late answers must occur.
      assert.isAbove(ends["done"] ?? 0, SEEDS / 10)
      assert.isAbove(ends["compensated"] ?? 0, SEEDS / 10)
      assert.isAbove(ends["needs_operator"] ?? 0, 0)
      for (const [what, times] of Object.entries(seen)) assert.isAbove(times, 0, what)
    },
    120_000
  )
})

describe("cancellation under the same faults", () => {
  it("ends done or needs_operator; stock and money that were to be freed are free, and nothing else", () => {
    const ends: Record<string, number> = {}
    for (let seed = 1; seed <= SEEDS; seed++) {
      const world = new World(seed)
      const id = OperationIds.make(`order-${seed}`)
      const orderId = OrderId.make(id("ord"))
      const reservationId = ReservationId.make(id("rsv"))
      const paymentId = PaymentId.make(id("pay"))
      const lines = [{ sku: "A", qty: 3 }, { sku: "B", qty: 1 }].map(({ qty, sku }) => ({
        lineId: OrderLineId.make(id("oli")),
        sku,
        qty
      }))
      const money = { amount: 1_000, currency: "GBP" }
      const give = (what: Sent) => [...world.inventory.handle(what), ...world.payments.handle(what)]
      give(SagaMachine.request(ReserveStock, { reservationId, orderId, lines }))
      give(SagaMachine.request(CommitReservation, { reservationId, orderId }))
      const token = world.random() < 0.2 ? "no_refund" : "ok"
      give(SagaMachine.request(AuthorizePayment, {
        paymentId,
        orderId,
        amount: money,
        methodToken: token,
        captureMode: "manual"
      }))
      const captured = world.random() < 0.5
      if (captured) world.payments.capture(paymentId, 1_000)
      const full = world.random() < 0.5
      const cancelled = lines.map(({ lineId, qty }, i) =>
        full ? { lineId, qty, keep: 0 } : i === 0 ? { lineId, qty: 2, keep: qty - 2 } : { lineId, qty: 0, keep: qty }
      )
        .filter(({ qty }) => qty > 0)
      const value = full ? 1_000 : 400
      const saga = new Running<Cancellation.Data, Cancellation.Action>(world, Cancellation.definition, "sag", {
        orderId,
        reason: "customer",
        full,
        lines: cancelled,
        reservationId,
        paymentId,
        value: { ...money, amount: value },
        refund: captured ? { ...money, amount: value } : null,
        refundKey: "key",
        freeMoney: full && !captured
      })
      world.later(6 * HOUR, () => world.calm())
      const rests = world.run()
      const why = () => describeRun(seed, world)
      const { state } = saga.instance
      ends[state] = (ends[state] ?? 0) + 1
      if (!rests || (state !== "done" && state !== "needs_operator")) assert.fail(`${state}: ${why()}`)
      const payment = world.payments.payments.get(paymentId)
      if (state === "done") {
        assert.deepStrictEqual(saga.actions.map((action) => action._tag), ["Finish"], why())
        assert.strictEqual(world.inventory.heldFor(orderId), full ? 0 : 2, why())
        assert.strictEqual(payment?.state, captured ? "captured" : full ? "voided" : "authorized", why())
        assert.strictEqual(payment?.refunded, captured ? value : 0, why())
      } else {
        assert.deepStrictEqual(saga.actions, [], why())
      }
    }
    assert.isAbove(ends["done"] ?? 0, SEEDS / 2)
    assert.isAbove(ends["needs_operator"] ?? 0, 0)
  }, 120_000)
})
