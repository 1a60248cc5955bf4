import type { ProductId } from "@holdfast/contracts/Id"
import * as Events from "@holdfast/contracts/ProductEvents"
import * as Transaction from "@holdfast/database/Transaction"
import * as Subscription from "@holdfast/messaging/Subscription"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Sellable from "./Domain/Sellable.ts"
import { Sellables } from "./Tables.ts"

/** Changes what is known of a sku; one that was never heard of begins here. */
const change = (
  sku: string,
  productId: ProductId,
  update: (known: Sellable.Sellable) => Sellable.Sellable
) =>
  Effect.flatMap(
    Transaction.get(Sellables, { sku }),
    Option.match({
      onNone: () => Effect.asVoid(Transaction.insert(Sellables, update(Sellable.unknown(sku, productId)))),
      onSome: () => Effect.asVoid(Transaction.update(Sellables, { sku }, update))
    })
  )

const changeAll = (
  skus: ReadonlyArray<string>,
  productId: ProductId,
  update: (known: Sellable.Sellable) => Sellable.Sellable
) => Effect.forEach(skus, (sku) => change(sku, productId, update), { discard: true })

const deactivate = (productId: ProductId) =>
  Effect.flatMap(
    Transaction.select(Sellables, { where: [["productId", "=", productId]] }),
    (rows) =>
      Effect.forEach(
        rows,
        ({ sku }) => Transaction.update(Sellables, { sku }, (known) => ({ ...known, active: false })),
        { discard: true }
      )
  )

const take = (sellables: ReadonlyArray<Sellable.Sellable>) =>
  Effect.forEach(sellables, (sellable) => change(sellable.sku, sellable.productId, () => sellable), { discard: true })

/** Keeps what the catalogue says at hand, so that a cart is priced without asking another agent inside a transaction. */
export const subscriptions = [
  Subscription.on(
    Events.ProductCreated,
    ({ productId, skus, snapshot }) =>
      snapshot === undefined ? changeAll(skus, productId, (known) => known) : take(Sellable.ofProduct(snapshot))
  ),
  Subscription.on(Events.ProductUpdated, ({ snapshot }) => take(Sellable.ofProduct(snapshot))),
  Subscription.on(
    Events.VariantChanged,
    ({ productId, sku, weightGrams }) =>
      change(sku, productId, (known) => ({ ...known, weightGrams: weightGrams ?? known.weightGrams }))
  ),
  Subscription.on(
    Events.PriceChanged,
    (event) => change(event.sku, event.productId, (known) => Sellable.reprice(known, event.old, event.new))
  ),
  Subscription.on(
    Events.ProductPublished,
    ({ channels, productId, skus }) => changeAll(skus, productId, (known) => Sellable.publish(known, channels))
  ),
  Subscription.on(
    Events.ProductUnpublished,
    ({ channels, productId, skus }) => changeAll(skus, productId, (known) => Sellable.unpublish(known, channels))
  ),
  Subscription.on(Events.ProductSuspended, ({ productId }) => deactivate(productId)),
  Subscription.on(Events.ProductDiscontinued, ({ productId }) => deactivate(productId))
]
