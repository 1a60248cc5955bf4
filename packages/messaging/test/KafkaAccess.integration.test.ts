import { assert, describe, it } from "@effect/vitest"
import { EventBus } from "@holdfast/messaging/EventBus"
import * as KafkaBus from "@holdfast/messaging/KafkaBus"
import type { KafkaConfig } from "@holdfast/messaging/KafkaConfig"
import { freePort } from "@holdfast/testing/HoldfastProcess"
import * as KafkaServer from "@holdfast/testing/KafkaServer"
import * as TestServers from "@holdfast/testing/TestServers"
import { Effect, Layer, Logger, LogLevel, Redacted } from "effect"
import { execFileSync } from "node:child_process"
import { join } from "node:path"
import { rootCertificates } from "node:tls"
import { brokerIs, configOf, inTime } from "./Brokers.ts"
import { enter, good, tell, temporaryDirectory, untilHeard } from "./Shop.ts"

const quiet = Logger.withMinimumLogLevel(LogLevel.Error)

const PASSWORD = "not-a-secret"

/** A key for 127.0.0.1 in a store of Java's, and its certificate in PEM. Where Kafka runs, this tool is. */
const certificate = (directory: string) => {
  const store = join(directory, "broker.p12")
  const access = ["-alias", "broker", "-storetype", "PKCS12", "-keystore", store, "-storepass", PASSWORD]
  const key = ["-keyalg", "EC", "-groupname", "secp256r1", "-validity", "2"]
  const keytool = (...args: ReadonlyArray<string>) => execFileSync("keytool", args, { encoding: "utf8", stdio: "pipe" })
  keytool("-genkeypair", ...access, ...key, "-dname", "CN=broker", "-ext", "san=ip:127.0.0.1")
  return { store, pem: keytool("-exportcert", "-rfc", ...access) }
}

describe.skipIf(TestServers.isMissing("kafka", { faults: true }))(
  "a broker that wants encryption and a password",
  () => {
    it.scopedLive("is used with them; without, the bus says what it refuses, and nothing of the password", () =>
      Effect.gen(function*() {
        const directory = yield* temporaryDirectory
        const { pem, store } = certificate(directory)
        const [port, secure, controller] = yield* Effect.all([freePort, freePort, freePort])
        const host = (of: number) => `127.0.0.1:${of}`
        yield* KafkaServer.start({
          settings: {
            "controller.quorum.voters": `1@${host(controller)}`,
            "listeners": `PLAINTEXT://${host(port)},SECURE://${host(secure)},CONTROLLER://${host(controller)}`,
            "advertised.listeners": `PLAINTEXT://${host(port)},SECURE://${host(secure)}`,
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL",
            "listener.name.secure.ssl.keystore.type": "PKCS12",
            "listener.name.secure.ssl.keystore.location": store,
            "listener.name.secure.ssl.keystore.password": PASSWORD,
            "listener.name.secure.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.secure.plain.sasl.jaas.config":
              `org.apache.kafka.common.security.plain.PlainLoginModule required user_agents="${PASSWORD}";`
          }
        })
        const sasl = (password: string) => ({
          mechanism: "plain" as const,
          username: "agents",
          password: Redacted.make(password)
        })
        const config: KafkaConfig = {
          ...configOf([host(secure)]),
          ssl: { rejectUnauthorized: true, ca: pem },
          sasl: sasl(PASSWORD)
        }

        yield* Effect.gen(function*() {
          const shop = yield* enter("shop", yield* temporaryDirectory)
          yield* tell(shop.database, [good("a", 0)])
          yield* inTime("a message")(untilHeard(shop.database, 1))
          yield* brokerIs("up")
        }).pipe(quiet, Effect.scoped, Effect.provide(KafkaBus.layer(config)))

        const wrong = "another-word"
        for (
          const [refused, reason] of [
            [{ ...config, sasl: sasl(wrong) }, /Authentication failed/],
            [{ ...config, ssl: { rejectUnauthorized: true, ca: rootCertificates[0] ?? "" } }, /certificate/]
          ] as const
        ) {
          const said: Array<string> = []
          const log = Logger.make(({ message }) => void said.push(String(message)))
          yield* Effect.gen(function*() {
            const shop = yield* enter("shop", yield* temporaryDirectory)
            yield* tell(shop.database, [good("a", 0)])
            const { broker, publishing } = yield* EventBus
            const error = Effect.sync(() => publishing()[0]?.lastError ?? "")
            yield* inTime(`the reason ${reason}`, publishing)(
              Effect.repeat(Effect.zipRight(Effect.sleep("20 millis"), error), { until: (text) => reason.test(text) })
            )
            assert.match(broker?.current().lastError ?? "", reason)
          }).pipe(
            Effect.scoped,
            Effect.provide(Layer.provideMerge(KafkaBus.layer(refused), Logger.replace(Logger.defaultLogger, log)))
          )
          assert.notInclude(said.join(), wrong)
          assert.notInclude(said.join(), PASSWORD)
          assert.match(said.join(), reason)
        }
      }))
  }
)
