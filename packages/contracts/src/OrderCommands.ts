import * as Message from "./Message.ts"
import { OrderImport } from "./Order.ts"

/** Answered by order.placed or order.import_refused; the same order again is the same order. */
export const ImportOrder = Message.command("order.import", {
  payload: OrderImport,
  key: (payload) => `${payload.channel}:${payload.externalRef}`
})
