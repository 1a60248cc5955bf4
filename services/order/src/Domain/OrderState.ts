import type { OrderState } from "@holdfast/contracts/Order"

/** What moves an order from state to state (spec §3). */
export type Trigger =
  | "confirm"
  | "cancel"
  | "request_cancellation"
  | "end_cancellation"
  | "accept_fulfilment"
  | "ship_part"
  | "ship_rest"
  | "deliver"
  | "complete"
  | "return_to_sender"

/** The state machine. A trigger that a state does not list is illegal there; `cancelled` and `completed` are final (O6). */
export const transitions: Readonly<Record<OrderState, Partial<Record<Trigger, OrderState>>>> = {
  placed: { confirm: "confirmed", cancel: "cancelled" },
  confirmed: { accept_fulfilment: "in_fulfilment", request_cancellation: "cancelling" },
  in_fulfilment: {
    request_cancellation: "cancelling",
    ship_part: "partially_shipped",
    ship_rest: "shipped"
  },
  // What a partial cancellation leaves, or a refused one, goes on as a confirmed order.
  cancelling: { cancel: "cancelled", end_cancellation: "confirmed" },
  partially_shipped: { ship_rest: "shipped" },
  shipped: { deliver: "delivered", return_to_sender: "returned_to_sender" },
  delivered: { complete: "completed" },
  cancelled: {},
  completed: {},
  returned_to_sender: {}
}

/** The state that follows, or `undefined` where the trigger is illegal. */
export const next = (state: OrderState, trigger: Trigger): OrderState | undefined => transitions[state][trigger]
