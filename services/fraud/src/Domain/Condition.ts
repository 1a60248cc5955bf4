import type { Rule } from "@holdfast/contracts/Fraud"
import { isDisposable } from "./DisposableDomains.ts"
import { inMinorUnits } from "./EuroAmount.ts"
import type { Facts } from "./Facts.ts"
import { robustZ } from "./RobustZ.ts"
import { count, type CounterUse, type Snapshot } from "./Snapshot.ts"
import { counters, isWindow, type SubjectKind, type Window } from "./Window.ts"

export type Parameters = Readonly<Record<string, number | boolean | string>>

/** What a condition found: what proves it, and other points than the rule's where the hit is of another degree. */
export interface Hit {
  readonly facts: Readonly<Record<string, unknown>>
  readonly points?: number
}

/** Which part of an order a missing fact belongs to: not every order has every part. */
export type Part = "session" | "email" | "card" | "address" | "lines"

/** `missing`: a fact that decides is not known. */
export type Verdict = Hit | "clear" | { readonly missing: Part }

/**
 * A question that rules can ask, by name: the rules of a ruleset are data, what their conditions mean is here. Pure: facts
 * and snapshot decide.
 */
export interface Condition {
  /** Every parameter with what it is when the rule leaves it out; its type is the parameter's. */
  readonly defaults: Parameters
  readonly counters: (parameters: Parameters) => ReadonlyArray<CounterUse>
  readonly test: (facts: Facts, snapshot: Snapshot, parameters: Parameters) => Verdict
}

const HOUR = 3_600_000

/** Widens the literal types of defaults. */
type Widened<P> = {
  readonly [N in keyof P]: P[N] extends number ? number : P[N] extends boolean ? boolean
  : P[N] extends Window ? Window
  : string
}

const condition = <const P extends Parameters>(options: {
  readonly parameters?: P
  readonly counters?: (parameters: Widened<P>) => ReadonlyArray<CounterUse>
  readonly test: (facts: Facts, snapshot: Snapshot, parameters: Widened<P>) => Verdict
}): Condition => {
  const defaults: Parameters = options.parameters ?? {}
  // RulesetCheck lets in only parameters of the defaults' names and types.
  const full = (parameters: Parameters) => ({ ...defaults, ...parameters }) as Widened<P>
  return {
    defaults,
    counters: (parameters) => options.counters?.(full(parameters)) ?? [],
    test: (facts, snapshot, parameters) => options.test(facts, snapshot, full(parameters))
  }
}

const missing = (part: Part): Verdict => ({ missing: part })
const hitIf = (holds: boolean, facts: Hit["facts"]): Verdict => holds ? { facts } : "clear"

/** Two countries that should be the same. */
const differ = (part: Part, one: keyof Facts, other: keyof Facts) =>
  condition({
    test: (facts) =>
      facts[one] === undefined || facts[other] === undefined
        ? missing(part)
        : hitIf(facts[one] !== facts[other], { [one]: facts[one], [other]: facts[other] })
  })

const above = (facts: Facts, euros: number): boolean => facts.grand > inMinorUnits(euros, facts.currency)
const money = (facts: Facts) => ({ grand: facts.grand, currency: facts.currency })

/** The subject of a counter that has the highest count. */
const highest = (
  snapshot: Snapshot,
  use: CounterUse
): { readonly subject: SubjectKind | undefined; readonly count: number } => {
  let found: { readonly subject: SubjectKind | undefined; readonly count: number } = { subject: undefined, count: 0 }
  for (const subject of counters[use.counter].subjects) {
    const n = count(snapshot, use, subject)
    if (n > found.count) found = { subject, count: n }
  }
  return found
}

const onList = (list: "deny" | "allow") =>
  condition({
    test: (_facts, snapshot) => {
      const kinds = snapshot.listed.filter((entry) => entry.list === list).map((entry) => entry.kind)
      return hitIf(kinds.length > 0, { kinds })
    }
  })

/** Every condition by its name (spec §16, ruleset v1, gives the meaning). */
export const conditions: Readonly<Record<string, Condition>> = {
  disposable_email: condition({
    test: ({ emailDomain }) =>
      emailDomain === undefined ? missing("email") : hitIf(isDisposable(emailDomain), { domain: emailDomain })
  }),

  new_email: condition({
    parameters: { hours: 24, aboveEur: 200 },
    test: (facts, snapshot, { aboveEur, hours }) => {
      if (!above(facts, aboveEur)) return "clear"
      if (!facts.emailKnown) return missing("email")
      const firstSeenAt = Math.min(
        facts.placedAt,
        facts.emailFirstSeenAt ?? facts.placedAt,
        snapshot.emailFirstSeenAt ?? facts.placedAt
      )
      return hitIf(facts.placedAt - firstSeenAt < hours * HOUR, { ...money(facts), firstSeenAt })
    }
  }),

  billing_shipping_country: differ("address", "billingCountry", "shippingCountry"),

  ip_billing_country: differ("session", "ipCountry", "billingCountry"),

  ip_anonymous: condition({
    test: ({ ipKind }) => ipKind === undefined ? missing("session") : hitIf(ipKind !== "ordinary", { kind: ipKind })
  }),

  card_billing_country: differ("card", "cardCountry", "billingCountry"),

  address_check: condition({
    parameters: { oneFailsPoints: 8 },
    test: ({ avs }, _snapshot, { oneFailsPoints }) =>
      avs === undefined
        ? missing("card")
        : avs === "both_fail"
        ? { facts: { avs } }
        : avs === "one_fails"
        ? { facts: { avs }, points: oneFailsPoints }
        : "clear"
  }),

  cvc_check: condition({
    test: ({ cvc }) => cvc === undefined ? missing("card") : hitIf(cvc === "fail", { cvc })
  }),

  card_velocity: condition({
    parameters: { short: "1h", shortMax: 3, long: "24h", longMax: 6, longPoints: 18 },
    counters: ({ long, short }) => [{ counter: "orders", window: short }, { counter: "orders", window: long }],
    test: (facts, snapshot, { long, longMax, longPoints, short, shortMax }) => {
      if (!facts.cardKnown) return missing("card")
      const soon = count(snapshot, { counter: "orders", window: short }, "cardFp")
      if (soon > shortMax) return { facts: { orders: soon, window: short } }
      const later = count(snapshot, { counter: "orders", window: long }, "cardFp")
      return later > longMax ? { facts: { orders: later, window: long }, points: longPoints } : "clear"
    }
  }),

  many_cards: condition({
    parameters: { window: "24h", max: 2 },
    counters: ({ window }) => [{ counter: "cards", window }],
    test: (_facts, snapshot, { max, window }) => {
      const most = highest(snapshot, { counter: "cards", window })
      return hitIf(most.count > max, { cards: most.count, subject: most.subject, window })
    }
  }),

  many_customers: condition({
    parameters: { window: "7d", max: 3 },
    counters: ({ window }) => [{ counter: "customers", window }],
    test: (_facts, snapshot, { max, window }) => {
      const most = highest(snapshot, { counter: "customers", window })
      return hitIf(most.count > max, { customers: most.count, subject: most.subject, window })
    }
  }),

  card_testing: condition({
    parameters: { window: "1h", declines: 3 },
    counters: ({ window }) => [{ counter: "declines", window }],
    test: (_facts, snapshot, { declines, window }) => {
      const most = highest(snapshot, { counter: "declines", window })
      return hitIf(most.count >= declines, { declines: most.count, subject: most.subject, window })
    }
  }),

  unusual_amount: condition({
    parameters: { z: 3.5, minOrders: 5, minSegment: 30 },
    test: (facts, snapshot, { minOrders, minSegment, z }) => {
      const own = snapshot.customer.amounts.count >= minOrders
      const history = own ? snapshot.customer.amounts : snapshot.segment
      if (!own && history.count < minSegment) return "clear"
      const found = robustZ(history, facts.grand)
      return hitIf(found > z, {
        ...money(facts),
        against: own ? "customer" : "segment",
        median: history.median,
        z: Number.isFinite(found) ? Math.round(found * 100) / 100 : "beyond"
      })
    }
  }),

  first_order: condition({
    parameters: { aboveEur: 500 },
    test: (facts, snapshot, { aboveEur }) =>
      hitIf(above(facts, aboveEur) && Math.max(facts.ordersBefore ?? 0, snapshot.customer.orders) === 0, money(facts))
  }),

  resale_goods: condition({
    parameters: { categories: "resale", units: 3 },
    test: ({ unitsByCategory }, _snapshot, { categories, units }) => {
      if (unitsByCategory === undefined) return missing("lines")
      const category = categories.split(/[ ,]+/).find((name) => (unitsByCategory[name] ?? 0) >= units)
      return category === undefined ? "clear" : { facts: { category, units: unitsByCategory[category] } }
    }
  }),

  express_to_new_address: condition({
    test: (facts, snapshot) => {
      if (facts.expressShipping !== true) return "clear"
      return facts.addressKnown ? hitIf(!snapshot.addressUsedBefore, { expressShipping: true }) : missing("address")
    }
  }),

  earlier_fraud: condition({
    test: (_facts, { tainted }) => hitIf(tainted.length > 0, { kinds: tainted })
  }),

  deny_list: onList("deny"),

  forwarding_address: condition({
    test: (facts) => {
      const { addressKind, billingCountry, ipCountry, shippingCountry } = facts
      const abroad = billingCountry !== undefined &&
        ((shippingCountry !== undefined && shippingCountry !== billingCountry) ||
          (ipCountry !== undefined && ipCountry !== billingCountry))
      if (!abroad) return "clear"
      return addressKind === undefined ? missing("address") : hitIf(addressKind !== "ordinary", { addressKind })
    }
  }),

  name_unlike_email: condition({
    parameters: { below: 50 },
    test: ({ guest, nameSimilarity }, _snapshot, { below }) => {
      if (!guest) return "clear"
      return nameSimilarity === undefined ? missing("email") : hitIf(nameSimilarity < below, { nameSimilarity })
    }
  }),

  return_rate: condition({
    parameters: { aboveBp: 6000, minOrders: 5, returnPoints: 30 },
    test: (facts, { customer }, { aboveBp, minOrders, returnPoints }) => {
      const orders = Math.max(facts.ordersBefore ?? 0, customer.orders)
      const rateBp = facts.returnRateBp ??
        (customer.orders === 0 ? 0 : Math.round(10_000 * customer.returned / customer.orders))
      if (orders < minOrders || rateBp <= aboveBp) return "clear"
      const found = { orders, rateBp }
      return facts.stage === "return" ? { facts: found, points: returnPoints } : { facts: found }
    }
  }),

  hasty_order: condition({
    parameters: { seconds: 60, lines: 2 },
    test: ({ lineCount, placedAt, sessionStartedAt }, _snapshot, { lines, seconds }) => {
      if (lineCount === undefined) return missing("lines")
      if (lineCount < lines) return "clear"
      if (sessionStartedAt === undefined) return missing("session")
      const elapsed = placedAt - sessionStartedAt
      return hitIf(elapsed >= 0 && elapsed < seconds * 1000, { elapsedMillis: elapsed, lines: lineCount })
    }
  }),

  liability_shift: condition({
    test: ({ threeDs }) => threeDs === undefined ? missing("card") : hitIf(threeDs === "authenticated", { threeDs })
  }),

  good_history: condition({
    parameters: { delivered: 3 },
    test: (facts, { customer }, { delivered }) => {
      const orders = Math.max(facts.deliveredBefore60d ?? 0, customer.deliveredBefore60d)
      const disputes = Math.max(facts.disputes ?? 0, customer.disputed)
      return hitIf(orders >= delivered && disputes === 0, { deliveredBefore60d: orders })
    }
  }),

  allow_list: onList("allow")
}

export const of = (rule: Pick<Rule, "when">): Condition | undefined =>
  Object.hasOwn(conditions, rule.when.condition) ? conditions[rule.when.condition] : undefined

/** What is wrong with a rule's parameters, as sentences. */
export const parameterIssues = (rule: Rule): ReadonlyArray<string> => {
  const found = of(rule)
  if (found === undefined) return [`${rule.code}: there is no condition "${rule.when.condition}"`]
  return Object.entries(rule.when.parameters ?? {}).flatMap(([name, value]) => {
    const fallback = found.defaults[name]
    if (!Object.hasOwn(found.defaults, name) || fallback === undefined) {
      return [`${rule.code}: ${rule.when.condition} has no parameter "${name}"`]
    }
    if (typeof value !== typeof fallback) return [`${rule.code}: ${name} must be a ${typeof fallback}`]
    if (isWindow(fallback) && !isWindow(value)) return [`${rule.code}: ${name} must be 1h, 24h, 7d or 30d`]
    return []
  })
}
