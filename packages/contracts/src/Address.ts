import * as Schema from "effect/Schema"
import { Email, Phone } from "./Contact.ts"
import { Country } from "./Country.ts"
import * as Text from "./Text.ts"

/**
 * A postal address (spec §1.1); copied by value into orders and shipments, never referenced live.
 *
 * @category schemas
 */
export const Address = Schema.Struct({
  name: Text.line(200),
  company: Schema.optional(Text.line(200)),
  line1: Text.line(200),
  line2: Schema.optional(Text.line(200)),
  city: Text.line(100),
  region: Schema.optional(Text.line(100)),
  postalCode: Text.lineOrEmpty(16).annotations({ description: "Empty where the country has none" }),
  country: Country,
  phone: Schema.optional(Phone),
  email: Schema.optional(Email),
  residential: Schema.optional(Schema.Boolean).annotations({ description: "Whether carriers deliver to a home" }),
  taxId: Schema.optional(Text.line(32))
}).annotations({ identifier: "Address" })
export type Address = typeof Address.Type

/**
 * The part of an address that other agents may know: enough to choose a location, a carrier or a tax.
 *
 * @category schemas
 */
export const Destination = Schema.Struct({ country: Country, postalCode: Text.lineOrEmpty(16) })
  .annotations({ identifier: "Destination" })
export type Destination = typeof Destination.Type

/**
 * What {@link Destination} keeps of an address.
 *
 * @category conversions
 */
export const destination = (address: Address): Destination => ({
  country: address.country,
  postalCode: address.postalCode
})
