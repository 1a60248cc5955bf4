import * as KafkaBus from "@holdfast/messaging/KafkaBus"
import * as KafkaServer from "@holdfast/testing/KafkaServer"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Exit, Layer, Scope } from "effect"
import { afterAll, beforeAll, describe } from "vitest"
import { configOf } from "./Brokers.ts"
import { suite } from "./EventBusSuite.ts"

describe.skipIf(TestServers.isMissing("kafka"))("KafkaBus", () => {
  const scope = Effect.runSync(Scope.make())
  let server: KafkaServer.KafkaServer

  beforeAll(async () => {
    server = await Effect.runPromise(Scope.extend(KafkaServer.start(), scope))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  suite("Kafka", Layer.unwrapEffect(Effect.sync(() => KafkaBus.layer(configOf(server.brokers)))))
})
