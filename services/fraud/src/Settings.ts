import * as Identifier from "@holdfast/contracts/Identifier"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** What the shop's operator decides for the fraud agent. */
export class Settings extends Context.Tag("@holdfast/fraud/Settings")<Settings, {
  /** The key of all hashes of identifiers: the same in every agent of the shop. */
  readonly hashKey: string
  /** Lets one in a hundred mild reviews pass, to learn what reviews are worth. */
  readonly explore: boolean
}>() {
  /** From `HOLDFAST_HASH_KEY` and `HOLDFAST_FRAUD_EXPLORE` (off). */
  static readonly layer = Layer.effect(
    this,
    Config.all({
      hashKey: Config.withDefault(Config.string("HOLDFAST_HASH_KEY"), Identifier.developmentKey),
      explore: Config.withDefault(Config.boolean("HOLDFAST_FRAUD_EXPLORE"), false)
    })
  ).pipe(Layer.orDie)
}

/** The keyed hash of an identifier. */
export const hash = (kind: Identifier.Kind, value: string) =>
  Effect.map(Settings, ({ hashKey }) => Identifier.hash(hashKey, kind, value))
