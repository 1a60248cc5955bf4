import type { ProductState } from "@holdfast/contracts/Product"

/** What a user can do with a product as a whole. */
export type Action = "edit" | "publish" | "unpublish" | "suspend" | "discontinue"

/**
 * Where each action leads (spec §4); one that is not listed is refused. A recalled product can be given up without being
 * sold again first.
 */
const steps: Readonly<Record<ProductState, Readonly<Partial<Record<Action, ProductState>>>>> = {
  draft: { edit: "draft", publish: "active" },
  active: { edit: "active", publish: "active", unpublish: "active", suspend: "suspended", discontinue: "discontinued" },
  suspended: { edit: "suspended", publish: "active", unpublish: "suspended", discontinue: "discontinued" },
  discontinued: { edit: "discontinued", unpublish: "discontinued" },
  archived: {}
}

/** The state after the action, or `undefined` where it is not allowed. */
export const next = (state: ProductState, action: Action): ProductState | undefined => steps[state][action]

/** Whether new orders may take its skus (invariant C5), on a channel or on any. */
export const isSellable = (
  product: { readonly state: ProductState; readonly publishedChannels: ReadonlyArray<string> },
  channel: string | undefined
): boolean =>
  product.state === "active" &&
  (channel === undefined ? product.publishedChannels.length > 0 : product.publishedChannels.includes(channel))
