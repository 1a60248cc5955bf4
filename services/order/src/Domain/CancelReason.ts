import { CancelReason } from "@holdfast/contracts/Order"
import * as Schema from "effect/Schema"

const isCancelReason = Schema.is(CancelReason)

/** What a step that got no answer means to the customer. */
const timeouts: Readonly<Record<string, CancelReason>> = {
  reserve_timeout: "stock_unknown",
  commit_timeout: "stock_unknown",
  operator: "staff"
}

/** The reason of a cancellation from the reason for which its saga failed; any other lost answer is the payment's. */
export const of = (sagaReason: string): CancelReason =>
  isCancelReason(sagaReason) ? sagaReason : timeouts[sagaReason] ?? "payment_failed"
