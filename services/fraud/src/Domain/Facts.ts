import type { AssessmentStage, Features } from "@holdfast/contracts/Fraud"
import { network } from "@holdfast/contracts/Identifier"
import { toMillis } from "@holdfast/contracts/Instant"
import type { PaymentRisk } from "@holdfast/contracts/Payment"
import * as BinFacts from "./BinFacts.ts"
import * as NetworkFacts from "./NetworkFacts.ts"

/**
 * What the rules know about an order: coarse facts without identifiers, small enough to be kept with each assessment. A
 * fact that is not known is absent.
 */
export interface Facts {
  readonly stage: AssessmentStage
  readonly channel: string
  /** The order's own time, milliseconds since the epoch. */
  readonly placedAt: number
  readonly grand: number
  readonly currency: string
  readonly lineCount?: number
  /** By category: the most units of one sku. */
  readonly unitsByCategory?: Readonly<Record<string, number>>
  readonly billingCountry?: string
  readonly shippingCountry?: string
  readonly expressShipping?: boolean
  readonly sessionStartedAt?: number
  readonly guest: boolean
  readonly ordersBefore?: number
  readonly deliveredBefore60d?: number
  readonly disputes?: number
  readonly returnRateBp?: number
  readonly emailDomain?: string
  readonly emailKnown: boolean
  readonly emailFirstSeenAt?: number
  readonly nameSimilarity?: number
  readonly ipCountry?: string
  readonly ipKind?: NetworkFacts.NetworkKind
  readonly addressKnown: boolean
  readonly addressKind?: "ordinary" | "freight_forwarder" | "parcel_locker"
  readonly cardKnown: boolean
  readonly cardCountry?: string
  readonly avs?: NonNullable<PaymentRisk["avs"]>
  readonly cvc?: NonNullable<PaymentRisk["cvc"]>
  readonly threeDs?: NonNullable<PaymentRisk["threeDs"]>
}

/** Where the channel is not named. */
const DEFAULT_CHANNEL = "web"

const unitsByCategory = (lines: NonNullable<Features["lines"]>): Readonly<Record<string, number>> => {
  const bySku = new Map<string, { readonly category: string; units: number }>()
  for (const { category, qty, sku } of lines) {
    if (category === undefined) continue
    const known = bySku.get(`${category} ${sku}`)
    if (known === undefined) bySku.set(`${category} ${sku}`, { category, units: qty })
    else known.units += qty
  }
  // A map: a category may be called "constructor".
  const most = new Map<string, number>()
  for (const { category, units } of bySku.values()) most.set(category, Math.max(most.get(category) ?? 0, units))
  return Object.fromEntries(most)
}

/** Leaves out what is undefined: an absent fact has no key. */
const known = <A extends object>(facts: A): { [N in keyof A]: Exclude<A[N], undefined> } =>
  // The filter is what makes the type true.
  Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)) as {
    [N in keyof A]: Exclude<A[N], undefined>
  }

const instant = (text: string | undefined): number | undefined => text === undefined ? undefined : toMillis(text)

/** As `known` in an object literal; typed so that absent facts may be undefined there. */
type Loose<A> = { [N in keyof A]: A[N] | undefined }

/** What the payment agent told of the order's card before. */
export interface Heard {
  readonly cardKnown: boolean
  readonly card?: Omit<PaymentRisk, "fingerprint"> | undefined
}

export const nothingHeard: Heard = { cardKnown: false }

/**
 * The facts of an order: its features, filled up with what the payment agent told about its card and what the ports know
 * of its network and its card's issuer. What the features say themselves comes first.
 */
export const make = (stage: AssessmentStage, features: Features, heard: Heard): Facts => {
  const { card, customer, email, ip, lines } = features
  const prefix = ip?.prefix === undefined ? undefined : network(ip.prefix, ip.prefix.includes(":") ? 48 : 24)
  const ofNetwork = prefix === undefined ? undefined : NetworkFacts.ofPrefix(prefix)
  const facts: Loose<Facts> = {
    stage,
    channel: features.channel ?? DEFAULT_CHANNEL,
    placedAt: toMillis(features.placedAt),
    grand: features.grand.amount,
    currency: features.grand.currency,
    lineCount: lines?.length,
    unitsByCategory: lines === undefined ? undefined : unitsByCategory(lines),
    billingCountry: features.billingCountry,
    shippingCountry: features.shippingCountry,
    expressShipping: features.expressShipping,
    sessionStartedAt: instant(features.sessionStartedAt),
    guest: customer?.guest ?? true,
    ordersBefore: customer?.ordersBefore,
    deliveredBefore60d: customer?.deliveredBefore60d,
    disputes: customer?.disputes,
    returnRateBp: customer?.returnRateBp,
    emailDomain: email?.domain,
    emailKnown: email !== undefined,
    emailFirstSeenAt: instant(email?.firstSeenAt),
    nameSimilarity: email?.nameSimilarity,
    ipCountry: ip?.country ?? ofNetwork?.country,
    ipKind: ip?.kind ?? ofNetwork?.kind,
    addressKnown: features.shippingAddress !== undefined,
    addressKind: features.shippingAddress?.kind,
    cardKnown: heard.cardKnown || card?.fingerprint !== undefined,
    cardCountry: card?.cardCountry ?? heard.card?.cardCountry ??
      (card?.bin === undefined ? undefined : BinFacts.countryOf(card.bin)),
    avs: card?.avs ?? heard.card?.avs,
    cvc: card?.cvc ?? heard.card?.cvc,
    threeDs: card?.threeDs ?? heard.card?.threeDs
  }
  return known(facts) as Facts
}
