import type { Rule, Thresholds } from "@holdfast/contracts/Fraud"

const rule = (
  code: string,
  group: string,
  condition: string,
  points: number,
  more: { readonly parameters?: NonNullable<Rule["when"]["parameters"]>; readonly floor?: number } = {}
): Rule => ({
  code,
  when: { condition, ...(more.parameters === undefined ? {} : { parameters: more.parameters }) },
  points,
  ...(more.floor === undefined ? {} : { floor: more.floor }),
  group
})

/** The rules that a new shop starts with (spec §16, ruleset v1). `group` is a heading for people; points add up across it. */
export const rules: ReadonlyArray<Rule> = [
  rule("R01", "email", "disposable_email", 15),
  rule("R02", "email", "new_email", 10, { parameters: { hours: 24, aboveEur: 200 } }),
  rule("R03", "country", "billing_shipping_country", 12),
  rule("R04", "country", "ip_billing_country", 12),
  rule("R05", "network", "ip_anonymous", 18),
  rule("R06", "country", "card_billing_country", 15),
  rule("R07", "card", "address_check", 18, { parameters: { oneFailsPoints: 8 } }),
  rule("R08", "card", "cvc_check", 25),
  rule("R09", "velocity", "card_velocity", 25, {
    parameters: { short: "1h", shortMax: 3, long: "24h", longMax: 6, longPoints: 18 }
  }),
  rule("R10", "velocity", "many_cards", 22, { parameters: { window: "24h", max: 2 } }),
  rule("R11", "velocity", "many_customers", 18, { parameters: { window: "7d", max: 3 } }),
  rule("R12", "velocity", "card_testing", 25, { parameters: { window: "1h", declines: 3 } }),
  rule("R13", "amount", "unusual_amount", 12, { parameters: { z: 3.5, minOrders: 5, minSegment: 30 } }),
  rule("R14", "amount", "first_order", 10, { parameters: { aboveEur: 500 } }),
  rule("R15", "goods", "resale_goods", 10, { parameters: { categories: "resale", units: 3 } }),
  rule("R16", "address", "express_to_new_address", 8),
  rule("R17", "history", "earlier_fraud", 60, { floor: 85 }),
  rule("R18", "list", "deny_list", 0, { floor: 100 }),
  rule("R19", "address", "forwarding_address", 12),
  rule("R20", "email", "name_unlike_email", 4, { parameters: { below: 50 } }),
  rule("R21", "history", "return_rate", 10, { parameters: { aboveBp: 6000, minOrders: 5, returnPoints: 30 } }),
  rule("R22", "session", "hasty_order", 6, { parameters: { seconds: 60, lines: 2 } }),
  rule("R23", "card", "liability_shift", -25),
  rule("R24", "history", "good_history", -20, { parameters: { delivered: 3 } }),
  rule("R25", "list", "allow_list", -40)
]

export const thresholds: Thresholds = { review: 30, block: 60, decline: 85 }
