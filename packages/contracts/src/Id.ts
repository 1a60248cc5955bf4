import * as Schema from "effect/Schema"

/** Crockford base32: no I, L, O, U. */
export const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

/**
 * Schema of an id `<prefix>_<26 characters of Crockford base32>`, branded by its prefix (spec §1.1).
 *
 * @category schemas
 */
export const Id = <Prefix extends string>(prefix: Prefix) =>
  Schema.String.pipe(
    Schema.pattern(new RegExp(`^${prefix}_[0-9A-HJKMNP-TV-Z]{26}$`), {
      description: `${prefix}_ and 26 characters of Crockford base32`,
      message: () => `an id must be "${prefix}_" followed by 26 characters of Crockford base32`
    }),
    Schema.brand(`Id/${prefix}`)
  )

export const OrderId = Id("ord")
export type OrderId = typeof OrderId.Type
export const OrderLineId = Id("oli")
export type OrderLineId = typeof OrderLineId.Type
export const ProductId = Id("prd")
export type ProductId = typeof ProductId.Type
export const VariantId = Id("var")
export type VariantId = typeof VariantId.Type
export const PriceId = Id("prc")
export type PriceId = typeof PriceId.Type
export const PaymentId = Id("pay")
export type PaymentId = typeof PaymentId.Type
export const AttemptId = Id("att")
export type AttemptId = typeof AttemptId.Type
export const RefundId = Id("ref")
export type RefundId = typeof RefundId.Type
export const DisputeId = Id("dsp")
export type DisputeId = typeof DisputeId.Type
export const ReservationId = Id("rsv")
export type ReservationId = typeof ReservationId.Type
export const AssessmentId = Id("fas")
export type AssessmentId = typeof AssessmentId.Type
export const CaseId = Id("fcs")
export type CaseId = typeof CaseId.Type
export const SagaId = Id("sag")
export type SagaId = typeof SagaId.Type
export const CustomerId = Id("cus")
export type CustomerId = typeof CustomerId.Type
export const CartId = Id("cart")
export type CartId = typeof CartId.Type
export const RmaId = Id("rma")
export type RmaId = typeof RmaId.Type
export const HoldId = Id("hld")
export type HoldId = typeof HoldId.Type
export const ShipmentId = Id("shp")
export type ShipmentId = typeof ShipmentId.Type
