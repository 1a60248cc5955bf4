import { OrderState } from "@holdfast/contracts/Order"
import * as FastCheck from "effect/FastCheck"
import { assert, describe, it } from "vitest"
import * as LineQuantities from "../src/Domain/LineQuantities.ts"
import { next, transitions, type Trigger } from "../src/Domain/OrderState.ts"

/** Spec §3, state machine, as pairs; written down anew, so that the table is compared with something. */
const legal = new Set([
  "placed confirmed",
  "placed cancelled",
  "confirmed in_fulfilment",
  "confirmed cancelling",
  "in_fulfilment cancelling",
  "cancelling cancelled",
  "cancelling confirmed",
  "in_fulfilment partially_shipped",
  "in_fulfilment shipped",
  "partially_shipped shipped",
  "shipped delivered",
  "delivered completed",
  "shipped returned_to_sender"
])

const states = OrderState.literals
const triggers = [...new Set(states.flatMap((state) => Object.keys(transitions[state])))] as ReadonlyArray<Trigger>

interface Line extends LineQuantities.LineQuantities {
  readonly id: number
}

interface Model {
  readonly state: OrderState
  readonly lines: ReadonlyArray<Line>
}

/** What may happen to an order, at random: a trigger by itself, or units that move and bring the trigger with them. */
type Command =
  | { readonly _tag: "Trigger"; readonly trigger: Trigger }
  | { readonly _tag: "Move"; readonly movement: LineQuantities.Movement; readonly line: number; readonly units: number }

const command: FastCheck.Arbitrary<Command> = FastCheck.oneof(
  FastCheck.record({ _tag: FastCheck.constant("Trigger" as const), trigger: FastCheck.constantFrom(...triggers) }),
  FastCheck.record({
    _tag: FastCheck.constant("Move" as const),
    movement: FastCheck.constantFrom("cancel" as const, "ship" as const, "deliver" as const, "return" as const),
    line: FastCheck.nat(2),
    units: FastCheck.integer({ min: -1, max: 6 })
  })
)

const apply = (model: Model, what: Command): Model => {
  if (what._tag === "Trigger") {
    const state = next(model.state, what.trigger)
    return state === undefined ? model : { ...model, state }
  }
  const line = model.lines[what.line]
  const moved = line === undefined ? undefined : LineQuantities.move(line, what.movement, what.units)
  return moved === undefined
    ? model
    : { ...model, lines: model.lines.map((one) => one.id === moved.id ? moved : one) }
}

const fresh = (id: number, qty: number): Line => ({
  id,
  qty,
  qtyShipped: 0,
  qtyDelivered: 0,
  qtyCancelled: 0,
  qtyReturned: 0
})

describe("the order's state machine", () => {
  it("has exactly the ways of the specification", () => {
    const ways = states.flatMap((from) => Object.values(transitions[from]).map((to) => `${from} ${to}`))
    assert.deepStrictEqual([...new Set(ways)].sort(), [...legal].sort())
  })

  it("under any sequence of commands: only legal steps, O3 always, cancelled and completed final", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(command, { maxLength: 80 }), (commands) => {
        let model: Model = { state: "placed", lines: [fresh(0, 1), fresh(1, 3), fresh(2, 5)] }
        for (const one of commands) {
          const after = apply(model, one)
          if (after.state !== model.state) assert.isTrue(legal.has(`${model.state} ${after.state}`), after.state)
          if (model.state === "cancelled" || model.state === "completed") assert.strictEqual(after.state, model.state)
          for (const line of after.lines) assert.isTrue(LineQuantities.holds(line), JSON.stringify(line))
          for (const [i, line] of after.lines.entries()) {
            for (const counter of ["qtyShipped", "qtyDelivered", "qtyCancelled", "qtyReturned"] as const) {
              assert.isAtLeast(line[counter], model.lines[i]?.[counter] ?? 0)
            }
          }
          model = after
        }
      }),
      { numRuns: 2_000, seed: 3 }
    )
  })

  it("moves as many units as there are, and not one more", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(command, { maxLength: 40 }), FastCheck.nat(2), (commands, index) => {
        const model = commands.reduce(apply, { state: "placed", lines: [fresh(0, 1), fresh(1, 3), fresh(2, 5)] })
        const line = model.lines[index]
        if (line === undefined) return
        for (const movement of ["cancel", "ship", "deliver", "return"] as const) {
          const units = LineQuantities.movable(line, movement)
          assert.isDefined(LineQuantities.move(line, movement, units))
          assert.isUndefined(LineQuantities.move(line, movement, units + 1))
          assert.isUndefined(LineQuantities.move(line, movement, 0.5))
        }
      }),
      { seed: 3 }
    )
  })
})
