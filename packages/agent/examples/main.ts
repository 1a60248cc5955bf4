import * as Main from "@holdfast/agent/Main"
import { giftCards } from "./GiftCards.ts"

// The gift cards alone, as a program: node --import tsx packages/agent/examples/main.ts
Main.run(() => [giftCards])
