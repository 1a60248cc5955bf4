import { AssessmentRequest } from "./Fraud.ts"
import * as Message from "./Message.ts"

/** Answered by fraud.assessed of the same order and stage. */
export const AssessOrder = Message.command("fraud.assess", {
  payload: AssessmentRequest,
  key: (payload) => payload.orderId
})
