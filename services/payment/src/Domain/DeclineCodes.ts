/** What a refusal means for who asked. */
export interface Meaning {
  /** The customer may try again, with this or another means of payment. */
  readonly retryableByCustomer: boolean
  /** The same call may succeed at another time, without anybody doing anything. */
  readonly retryableLater: boolean
}

const anotherCard: Meaning = { retryableByCustomer: true, retryableLater: false }
const later: Meaning = { retryableByCustomer: true, retryableLater: true }
const never: Meaning = { retryableByCustomer: false, retryableLater: false }

const codes: Readonly<Record<string, Meaning>> = {
  insufficient_funds: later,
  card_declined: anotherCard,
  expired_card: anotherCard,
  incorrect_cvc: anotherCard,
  authentication_failed: anotherCard,
  action_expired: anotherCard,
  invalid_token: anotherCard,
  gateway_error: later,
  capture_declined: later,
  authorization_expired: never,
  // Told nothing more, so that a thief learns nothing.
  stolen_card: never,
  lost_card: never,
  fraudulent: never,
  payment_exists: never,
  payment_state_conflict: never,
  capture_exceeds_authorized: never,
  currency_mismatch: never,
  not_found: never,
  captured: never
}

/** The meaning of a refusal's code; of one that is not listed, that another means of payment may do. */
export const meaning = (code: string): Meaning => codes[code] ?? anotherCard
