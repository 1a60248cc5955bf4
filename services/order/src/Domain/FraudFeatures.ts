import type { Address } from "@holdfast/contracts/Address"
import type { Features } from "@holdfast/contracts/Fraud"
import * as Identifier from "@holdfast/contracts/Identifier"
import type { Money } from "@holdfast/contracts/Money"
import { isExpress } from "./Shipping.ts"
import * as Similarity from "./Similarity.ts"

/** What a placement tells about the buyer. */
export interface Facts {
  readonly placedAt: string
  readonly channel: string
  readonly grand: Money
  readonly shipping: Address
  readonly billing: Address
  readonly shippingOption: string | undefined
  readonly customerId: string | undefined
  /** The channel's own number of the customer. */
  readonly customerRef: string | undefined
  readonly email: string | undefined
  readonly name: string | undefined
  readonly phone: string | undefined
  readonly ipAddress: string | undefined
  readonly deviceId: string | undefined
  readonly sessionStartedAt: string | undefined
}

/** Hashes an identifier with the secret key. */
export type Hasher = (kind: Identifier.Kind, value: string) => string

const placeOf = (address: Address): string =>
  [address.line1, address.line2, address.postalCode, address.city, address.country].filter((part) => part).join(", ")

/** The network of an address, /24 or /48: enough to tell country and kind. */
const networkOf = (ip: string): string | undefined => Identifier.network(ip, ip.includes(".") ? 24 : 48)

/** What identifies the customer across orders; a guest has nothing. */
const customerOf = (facts: Facts): string | undefined =>
  facts.customerId ?? (facts.customerRef === undefined ? undefined : `${facts.channel}:${facts.customerRef}`)

/**
 * The features of an order, without its lines: identifiers hashed, coarse facts beside them (invariant F5). An address
 * without a postal code does not tell one place from another, so it is left out.
 */
export const of = (facts: Facts, hash: Hasher): Features => {
  const customer = customerOf(facts)
  const prefix = facts.ipAddress === undefined ? undefined : networkOf(facts.ipAddress)
  return {
    placedAt: facts.placedAt,
    channel: facts.channel,
    grand: facts.grand,
    billingCountry: facts.billing.country,
    shippingCountry: facts.shipping.country,
    expressShipping: isExpress(facts.shippingOption),
    customer: {
      guest: customer === undefined,
      ...(customer === undefined ? {} : { hash: hash("customer", customer) })
    },
    ...(facts.sessionStartedAt === undefined ? {} : { sessionStartedAt: facts.sessionStartedAt }),
    ...(facts.email === undefined ? {} : {
      email: {
        hash: hash("email", facts.email),
        domain: facts.email.slice(facts.email.lastIndexOf("@") + 1).toLowerCase(),
        ...(facts.name === undefined
          ? {}
          : { nameSimilarity: Similarity.ofNameAndEmail(facts.name, facts.email) })
      }
    }),
    ...(facts.phone === undefined ? {} : { phoneHash: hash("phone", facts.phone) }),
    ...(facts.ipAddress === undefined
      ? {}
      : { ip: { hash: hash("ip", facts.ipAddress), ...(prefix === undefined ? {} : { prefix }) } }),
    ...(facts.deviceId === undefined ? {} : { device: { hash: hash("device", facts.deviceId) } }),
    ...(facts.shipping.postalCode === ""
      ? {}
      : { shippingAddress: { hash: hash("address", placeOf(facts.shipping)) } }),
    ...(facts.billing.postalCode === "" ? {} : { billingAddress: { hash: hash("address", placeOf(facts.billing)) } })
  }
}
