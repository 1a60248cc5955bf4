import { developmentKey } from "@holdfast/contracts/Identifier"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

/**
 * The secret by which identifiers are hashed before fraud sees them; the fraud agent must have the same one.
 */
export class HashKey extends Context.Tag("@holdfast/order/HashKey")<HashKey, Redacted.Redacted>() {
  /** `HOLDFAST_HASH_KEY`, or the development key. */
  static readonly layer = Layer.effect(
    this,
    Config.withDefault(Config.redacted("HOLDFAST_HASH_KEY"), Redacted.make(developmentKey))
  )
}
