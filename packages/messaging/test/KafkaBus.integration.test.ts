import * as KafkaBus from "@holdfast/messaging/KafkaBus"
import * as KafkaServer from "@holdfast/testing/KafkaServer"
import * as SuiteResource from "@holdfast/testing/SuiteResource"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Layer } from "effect"
import { describe } from "vitest"
import { configOf } from "./Brokers.ts"
import { suite } from "./EventBusSuite.ts"

describe.skipIf(TestServers.isMissing("kafka"))("KafkaBus", () => {
  const server = SuiteResource.make(KafkaServer.start())

  suite("Kafka", Layer.unwrapEffect(Effect.sync(() => KafkaBus.layer(configOf(server().brokers)))))
})
