import { assert, describe, it, layer } from "@effect/vitest"
import * as Topics from "@holdfast/messaging/Topics"
import * as HoldfastProcess from "@holdfast/testing/HoldfastProcess"
import * as KafkaServer from "@holdfast/testing/KafkaServer"
import * as RedisServer from "@holdfast/testing/RedisServer"
import * as TestServers from "@holdfast/testing/TestServers"
import { Context, Effect, Layer } from "effect"
import { Redis as Client } from "ioredis"
import KafkaJS from "kafkajs"
import { once } from "node:events"
import { readFileSync, writeFileSync } from "node:fs"
import { createServer, type Socket } from "node:net"
import { dirname, join } from "node:path"
import { certificates, hasOpenssl } from "./Certificates.ts"
import { examine, expectFaults, faults } from "./Examination.ts"
import { until } from "./Shop.ts"

class Redis
  extends Context.Tag("@holdfast/cli/test/DoctorServers.integration.test/Redis")<Redis, RedisServer.RedisServer>()
{
  static readonly layer = Layer.scoped(
    this,
    RedisServer.start({ settings: { maxmemory: "64mb", "maxmemory-policy": "noeviction" } })
  )
}

class Kafka
  extends Context.Tag("@holdfast/cli/test/DoctorServers.integration.test/Kafka")<Kafka, KafkaServer.KafkaServer>()
{
  static readonly layer = Layer.scoped(this, KafkaServer.start())
}

/** One that accepts connections and does this with them. */
const listener = (act: (socket: Socket) => void) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const server = createServer((socket) => {
          socket.on("error", () => {})
          act(socket)
        })
        server.listen(0, "127.0.0.1")
        await once(server, "listening")
        return server
      }),
      (server) => Effect.sync(() => server.close())
    ),
    (server) => {
      const address = server.address()
      return typeof address === "object" && address !== null ? address.port : 0
    }
  )

/** Makes a topic; it is there when its partitions have leaders. */
const createTopic = (brokers: ReadonlyArray<string>, topic: string, numPartitions: number) =>
  Effect.gen(function*() {
    const admin = new KafkaJS.Kafka({ brokers: [...brokers], logLevel: KafkaJS.logLevel.NOTHING }).admin()
    yield* Effect.promise(() => admin.connect())
    yield* Effect.promise(() => admin.createTopics({ waitForLeaders: false, topics: [{ topic, numPartitions }] }))
    yield* until(Effect.promise(async () => {
      const found = await admin.fetchTopicMetadata({ topics: [topic] }).catch(() => undefined)
      return found?.topics[0]?.partitions.every(({ leader }) => leader >= 0) === true ? true : undefined
    }))
    yield* Effect.promise(() => admin.disconnect())
  })

describe.skipIf(TestServers.isMissing("redis", { faults: true }))("doctor and Redis", () => {
  layer(Redis.layer, { excludeTestServices: true })((it) => {
    it.scoped("a server in order, but for what happens when it is full", () =>
      Effect.gen(function*() {
        const { url } = yield* Redis
        const findings = yield* expectFaults({ REDIS_URL: url }, ["warn redis.memory no_eviction"])
        assert.deepStrictEqual(
          findings.filter(({ check }) => check.startsWith("redis")).map(({ check }) => check.slice(6)),
          ["address", "encryption", "login", "version", "memory", "latency"]
        )
        yield* expectFaults({ REDIS_URL: url, REDIS_PASSWORD: "hunter2" }, [
          "warn redis.login password_unexpected",
          "warn redis.memory no_eviction"
        ])
        yield* expectFaults({ REDIS_URL: `${url}/99` }, ["fail redis.login database_missing"])
        yield* expectFaults({ REDIS_URL: url.replace("redis:", "rediss:") }, ["fail redis.encryption tls_silent"])
      }))

    it.scoped("passwords", () =>
      Effect.gen(function*() {
        const { url } = yield* RedisServer.start()
        yield* Effect.promise(async () => {
          const client = new Client(url)
          await client.config("SET", "requirepass", "right")
          client.disconnect()
        })
        yield* expectFaults({ REDIS_URL: url }, ["fail redis.login password_missing"])
        const wrong = yield* expectFaults({ REDIS_URL: url, REDIS_PASSWORD: "hunter2" }, [
          "fail redis.login wrong_password"
        ])
        assert.notInclude(JSON.stringify(wrong), "hunter2")
        yield* expectFaults({ REDIS_URL: url, REDIS_PASSWORD: "right" }, [])
      }))

    it.scoped.skipIf(!hasOpenssl)("certificates", () =>
      Effect.gen(function*() {
        const { ca, certificate, key } = yield* certificates("DNS:localhost")
        const port = yield* HoldfastProcess.freePort
        yield* RedisServer.start({
          settings: {
            "tls-port": String(port),
            "tls-cert-file": certificate,
            "tls-key-file": key,
            "tls-ca-cert-file": ca,
            "tls-auth-clients": "no"
          }
        })
        const REDIS_URL = `rediss://localhost:${port}`
        const findings = yield* expectFaults({ REDIS_URL, REDIS_CA_FILE: ca }, [])
        assert.match(
          findings.find(({ check }) => check === "redis.encryption")?.seen ?? "",
          /^TLSv1\.\d, certificate valid/
        )
        yield* expectFaults({ REDIS_URL }, ["fail redis.encryption tls_untrusted"])
        yield* expectFaults({ REDIS_URL: `rediss://127.0.0.1:${port}`, REDIS_CA_FILE: ca }, [
          "fail redis.encryption tls_name_mismatch"
        ])
      }))

    it.scoped("a replica", () =>
      Effect.gen(function*() {
        const { port } = yield* Redis
        const { url } = yield* RedisServer.start({ settings: { replicaof: `127.0.0.1 ${port}` } })
        yield* expectFaults({ REDIS_URL: url }, ["fail redis.role replica"])
      }))

    it.scoped("a server that is stalled, and one that is gone, keep nobody waiting", () =>
      Effect.gen(function*() {
        const server = yield* Redis
        yield* server.stall
        const stalled = yield* examine({ REDIS_URL: server.url })
        yield* server.resume
        assert.deepStrictEqual(faults(stalled.findings), ["fail redis.login server_silent"])
        assert.isBelow(stalled.millis, 5_000)
        yield* server.kill
        yield* expectFaults({ REDIS_URL: server.url }, ["fail redis.address connection_refused"])
      }))
  })
})

describe.skipIf(TestServers.isMissing("kafka", { faults: true }))("doctor and Kafka", () => {
  layer(Kafka.layer, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.scoped("a broker in order", () =>
      Effect.gen(function*() {
        const { brokers } = yield* Kafka
        const findings = yield* expectFaults({ KAFKA_BROKERS: brokers.join(",") }, [])
        assert.deepStrictEqual(
          findings.filter(({ check }) => check.startsWith("kafka")).map(({ check }) => check.slice(6)),
          ["broker", "encryption", "login", "cluster", "topics"]
        )
        assert.match(findings.find(({ check }) => check === "kafka.topics")?.seen ?? "", /can and will be made/)
        const admin = new KafkaJS.Kafka({ brokers: [...brokers], logLevel: KafkaJS.logLevel.NOTHING }).admin()
        const topics = yield* Effect.promise(() =>
          admin.connect().then(() => admin.listTopics()).finally(() => admin.disconnect())
        )
        assert.deepStrictEqual(topics, [], "the doctor makes nothing")
      }))

    it.scoped("one of two brokers is away, one is something else", () =>
      Effect.gen(function*() {
        const { brokers } = yield* Kafka
        const away = `127.0.0.1:${yield* HoldfastProcess.freePort}`
        yield* expectFaults({ KAFKA_BROKERS: `${away},${brokers[0]}` }, ["warn kafka.broker connection_refused"])
        const web = yield* listener((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"))
        const shy = yield* listener((socket) => socket.end())
        const silent = yield* listener(() => {})
        yield* expectFaults({ KAFKA_BROKERS: [web, shy, silent].map((port) => `127.0.0.1:${port}`).join(",") }, [
          "fail kafka.broker not_kafka",
          "fail kafka.broker not_kafka",
          "fail kafka.broker server_silent"
        ])
        yield* expectFaults({ KAFKA_BROKERS: brokers.join(), KAFKA_SSL: "true" }, ["fail kafka.broker tls_not_spoken"])
      }))

    it.scoped("a login that the brokers do not ask for", () =>
      Effect.gen(function*() {
        const { brokers } = yield* Kafka
        yield* expectFaults({
          KAFKA_BROKERS: brokers.join(),
          KAFKA_SASL_MECHANISM: "plain",
          KAFKA_SASL_USERNAME: "me",
          KAFKA_SASL_PASSWORD: "hunter2"
        }, ["fail kafka.login login_unexpected"])
      }))

    it.scoped("topics that exist, with the partitions they are to have or others", () =>
      Effect.gen(function*() {
        const { brokers } = yield* Kafka
        const [first, second] = Topics.declared(["order"])
        yield* createTopic(brokers, first?.name ?? "", first?.partitions ?? 0)
        yield* expectFaults({ KAFKA_BROKERS: brokers.join() }, [])
        yield* createTopic(brokers, second?.name ?? "", 1)
        yield* expectFaults({ KAFKA_BROKERS: brokers.join() }, ["fail kafka.topics wrong_partitions"])
      }))

    it.scoped("a broker that is stalled, and one that is gone, keep nobody waiting", () =>
      Effect.gen(function*() {
        const server = yield* Kafka
        yield* server.stall
        const stalled = yield* examine({ KAFKA_BROKERS: server.brokers.join() })
        yield* server.resume
        assert.deepStrictEqual(faults(stalled.findings), ["fail kafka.broker server_silent"])
        assert.isBelow(stalled.millis, 5_000)
        yield* server.kill
        yield* expectFaults({ KAFKA_BROKERS: server.brokers.join() }, ["fail kafka.broker connection_refused"])
      }))
  })

  it.scopedLive.skipIf(!hasOpenssl)(
    "certificates, logins, and an address that leads nowhere",
    () =>
      Effect.gen(function*() {
        const { ca, certificate, key } = yield* certificates("DNS:localhost", "IP:127.0.0.1")
        const keystore = join(dirname(key), "keystore.pem")
        writeFileSync(keystore, `${readFileSync(key, "utf8")}${readFileSync(certificate, "utf8")}`)
        const [plain, closed, controller] = yield* Effect.replicateEffect(HoldfastProcess.freePort, 3)
        yield* KafkaServer.start({
          settings: {
            "listeners":
              `PLAINTEXT://127.0.0.1:${plain},CLOSED://127.0.0.1:${closed},CONTROLLER://127.0.0.1:${controller}`,
            "advertised.listeners": `PLAINTEXT://localhost:1,CLOSED://127.0.0.1:${closed}`,
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CLOSED:SASL_SSL",
            "controller.quorum.voters": `1@127.0.0.1:${controller}`,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": keystore,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": ca,
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.closed.plain.sasl.jaas.config":
              "org.apache.kafka.common.security.plain.PlainLoginModule required user_me=\"right\";"
          }
        })
        yield* expectFaults({ KAFKA_BROKERS: `127.0.0.1:${plain}` }, ["fail kafka.cluster advertised_unreachable"])
        const KAFKA_BROKERS = `localhost:${closed}`
        yield* expectFaults({ KAFKA_BROKERS }, ["fail kafka.broker not_kafka"])
        yield* expectFaults({ KAFKA_BROKERS, KAFKA_SSL: "true" }, ["fail kafka.broker tls_untrusted"])
        yield* expectFaults({ KAFKA_BROKERS, KAFKA_CA_FILE: ca }, ["fail kafka.login login_required"])
        const login = { KAFKA_BROKERS, KAFKA_CA_FILE: ca, KAFKA_SASL_MECHANISM: "plain", KAFKA_SASL_USERNAME: "me" }
        const wrong = yield* expectFaults({ ...login, KAFKA_SASL_PASSWORD: "hunter2" }, [
          "fail kafka.login wrong_password"
        ])
        assert.notInclude(JSON.stringify(wrong), "hunter2")
        yield* expectFaults({ ...login, KAFKA_SASL_MECHANISM: "scram-sha-256", KAFKA_SASL_PASSWORD: "right" }, [
          "fail kafka.login mechanism_refused"
        ])
        const findings = yield* expectFaults({ ...login, KAFKA_SASL_PASSWORD: "right" }, [])
        const seen = (check: string) =>
          findings.filter((finding) => finding.check === check).map(({ seen }) => seen).join()
        assert.match(seen("kafka.broker"), /TLSv1\.\d, certificate valid/)
        assert.strictEqual(seen("kafka.login"), "me is let in")
      }),
    120_000
  )
})
