import { Effect } from "effect"
import * as Main from "../src/Main.ts"
import { giftCardsIn } from "./GiftCards.ts"

// A process of its own for the tests that send signals.
Main.run(() => [giftCardsIn(Effect.as(Effect.sleep("200 millis"), 200))])
