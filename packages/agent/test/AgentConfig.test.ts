import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, FastCheck, LogLevel, Option, Redacted } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { rootCertificates } from "node:tls"
import * as AgentConfig from "../src/AgentConfig.ts"

const load = (variables: Record<string, string>) => Effect.flip(AgentConfig.load(variables))

const pem = rootCertificates[0] ?? ""

/** A file with this content, gone after the test. */
const fileOf = (content: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-config-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    ),
    (folder) => {
      const path = join(folder, "content")
      writeFileSync(path, content)
      return path
    }
  )

/** The plain text of what is redacted, so that it can be compared. */
const bare = (value: unknown): unknown =>
  Redacted.isRedacted(value)
    ? Redacted.value(value)
    : typeof value === "object" && value !== null
    ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, bare(inner)]))
    : value

const postgres = (variables: Record<string, string>) =>
  Effect.map(AgentConfig.load(variables), ({ postgres }) => bare(Option.getOrThrow(postgres)))
const kafka = (variables: Record<string, string>) =>
  Effect.map(AgentConfig.load(variables), ({ kafka }) => bare(Option.getOrThrow(kafka)))
const redis = (variables: Record<string, string>) =>
  Effect.map(AgentConfig.load(variables), ({ redis }) => bare(Option.getOrThrow(redis)))

describe("configuration", () => {
  it.effect("needs nothing", () =>
    Effect.gen(function*() {
      const config = yield* ConfigProvider.fromMap(new Map()).load(AgentConfig.config)
      assert.deepInclude(config, {
        dataDir: ".holdfast",
        host: "127.0.0.1",
        port: 4000,
        maxInFlight: 512,
        logLevel: LogLevel.Info
      })
      const servers: ReadonlyArray<Option.Option<unknown>> = [config.postgres, config.kafka, config.redis]
      assert.isTrue(servers.every(Option.isNone))
      assert.isTrue(Option.isNone(config.rateLimit))
      assert.deepStrictEqual(config.backlog, { maxOperations: 100_000, maxAge: Duration.hours(24) })
      assert.strictEqual(AgentConfig.fallbackOf(config, "payment"), "allowed")
      assert.strictEqual(AgentConfig.peerUrl(config, "inventory", "http://me"), "http://me")
    }))

  it.effect("a rate limit is a number of requests in a time", () =>
    Effect.map(AgentConfig.load({ HOLDFAST_RATE_LIMIT: "500 / 10s" }), ({ rateLimit }) => {
      assert.deepStrictEqual(Option.getOrUndefined(rateLimit), { permits: 500, interval: Duration.seconds(10) })
    }))

  it.effect("an empty variable counts as one that is not set", () =>
    Effect.map(AgentConfig.load({ HOLDFAST_PORT: "", DATABASE_URL: " " }), (config) => {
      assert.strictEqual(config.port, 4000)
    }))

  for (
    const [variables, line] of [
      [
        { HOLDFAST_PORT: "abc" },
        "HOLDFAST_PORT must be a port from 0 to 65535, e.g. HOLDFAST_PORT=4000"
      ],
      [
        { HOLDFAST_PORT: "70000" },
        "HOLDFAST_PORT must be a port from 0 to 65535, e.g. HOLDFAST_PORT=4000; it is \"70000\""
      ],
      [
        { LOG_LEVEL: "loud" },
        "LOG_LEVEL must be one of trace, debug, info, warning, error, fatal, none, e.g. LOG_LEVEL=info"
      ],
      [{ LOG_FORMAT: "xml" }, "LOG_FORMAT must be pretty or json, e.g. LOG_FORMAT=json"],
      [
        { HOLDFAST_DRAIN_SETTLE: "1 hour" },
        "HOLDFAST_DRAIN_SETTLE must be a time of at most 5 s, e.g. HOLDFAST_DRAIN_SETTLE=5s"
      ],
      ...["fast", "0/1s", "10", "10/1ms", "10/1s/2"].map((text) =>
        [
          { HOLDFAST_RATE_LIMIT: text },
          "HOLDFAST_RATE_LIMIT must be a number of requests from 1 to 1000000 in a time from 1 s to 24 h, e.g. " +
          "HOLDFAST_RATE_LIMIT=1000/1s" + (text === "10" ? "; it is \"10\"" : "")
        ] as const
      ),
      [
        { HOLDFAST_FALLBACK: "no" },
        "HOLDFAST_FALLBACK must be allowed or forbidden, e.g. HOLDFAST_FALLBACK=forbidden"
      ],
      [
        { GIFTCARD_FALLBACK: "no" },
        "GIFTCARD_FALLBACK must be allowed or forbidden, e.g. GIFTCARD_FALLBACK=forbidden"
      ],
      [
        { HOLDFAST_BACKLOG_MAX_AGE: "24 days" },
        "HOLDFAST_BACKLOG_MAX_AGE must be a time from 1 s to 720 h, e.g. HOLDFAST_BACKLOG_MAX_AGE=24h"
      ],
      [
        { HOLDFAST_BACKLOG_MAX_OPERATIONS: "0" },
        "HOLDFAST_BACKLOG_MAX_OPERATIONS must be a number of operations from 1 to 100000000, e.g. " +
        "HOLDFAST_BACKLOG_MAX_OPERATIONS=100000; it is \"0\""
      ],
      [
        { INVENTORY_URL: "http://me:secret@127.0.0.1:4003" },
        "INVENTORY_URL must be an http:// or https:// address without a user, e.g. " +
        "INVENTORY_URL=http://127.0.0.1:4003"
      ],
      [
        { DATABASE_URL: "mysql://root:secret@db/shop" },
        "DATABASE_URL must be postgres://USER@HOST:PORT/DATABASE, e.g. " +
        "DATABASE_URL=postgres://holdfast@127.0.0.1:5432/holdfast; it begins with mysql://"
      ],
      [
        { KAFKA_BROKERS: "kafka" },
        "KAFKA_BROKERS must be a list of HOST:PORT, e.g. KAFKA_BROKERS=kafka-1:9092,kafka-2:9092"
      ],
      [
        { KAFKA_BROKERS: "kafka:9092", KAFKA_SASL_MECHANISM: "plain" },
        "KAFKA_SASL_MECHANISM is set without KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD; set all of " +
        "KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD, or none of them"
      ],
      [
        { KAFKA_SASL_PASSWORD: "secret" },
        "KAFKA_SASL_PASSWORD is set and KAFKA_BROKERS is not; set KAFKA_BROKERS, or unset KAFKA_SASL_PASSWORD"
      ],
      [
        { REDIS_URL: "redis://me@127.0.0.1" },
        "REDIS_URL must be redis://HOST:PORT or rediss://HOST:PORT, e.g. REDIS_URL=redis://127.0.0.1:6379; it names a " +
        "user and no password: set REDIS_PASSWORD, or write a password alone as redis://:PASSWORD@HOST"
      ]
    ] as const
  ) {
    it.effect(`stops the start with one line: ${line}`, () =>
      Effect.map(load(variables), (error) => {
        assert.strictEqual(error.message, line)
      }))
  }

  for (
    const name of ["HOLDFAST_PORT", "HOLDFAST_HOST", "LOG_LEVEL", "KAFKA_BROKERS", "DATABASE_URL", "REDIS_URL"].concat(
      ["ORDER_URL", "PAYMENT_FALLBACK", "HOLDFAST_RATE_LIMIT", "HOLDFAST_DRAIN_SETTLE", "KAFKA_SSL", "KAFKA_CA_FILE"]
    )
  ) {
    it.effect(`a password that was put into ${name} is not shown`, () =>
      Effect.forEach(
        ["Sekrit9!pw", "1234567!", "12Sekrit9!"],
        (password) =>
          Effect.map(load({ [name]: password }), (error) => {
            assert.include(error.message, name)
            assert.notInclude(error.message, password)
          })
      ))
  }

  it.effect("a long value with line breaks still makes one line", () =>
    Effect.map(load({ HOLDFAST_HOST: "a\n".repeat(200) }), (error) => {
      assert.notInclude(error.message, "\n")
      assert.isBelow(error.message.length, 250)
    }))

  describe("Postgres", () => {
    it.effect("everything in the URL", () =>
      Effect.map(
        postgres({ DATABASE_URL: "postgres://me:p%40ss@db.example.com:6432/shop?sslmode=require" }),
        (found) => {
          assert.deepStrictEqual(found, {
            url: "postgresql://me:p%40ss@db.example.com:6432/shop",
            host: "db.example.com",
            port: 6432,
            database: "shop",
            user: "me",
            password: "p@ss",
            ssl: { rejectUnauthorized: false }
          })
        }
      ))

    it.effect("an address of version 6, nothing secret, the default port", () =>
      Effect.map(postgres({ DATABASE_URL: "postgresql://me@[::1]/shop" }), (found) => {
        assert.deepStrictEqual(found, {
          url: "postgresql://me@[::1]:5432/shop",
          host: "::1",
          port: 5432,
          database: "shop",
          user: "me",
          password: undefined,
          ssl: false
        })
      }))

    it.scoped("a password of its own comes before the URL's, from a variable or a file", () =>
      Effect.gen(function*() {
        const url = { DATABASE_URL: "postgres://me:old@db/shop" }
        const path = yield* fileOf("n e/w\n")
        for (const given of [{ DATABASE_PASSWORD: "n e/w" }, { DATABASE_PASSWORD_FILE: path }]) {
          assert.deepInclude(yield* postgres({ ...url, ...given }), {
            password: "n e/w",
            url: "postgresql://me:n%20e%2Fw@db:5432/shop"
          })
        }
        const both = yield* load({ ...url, DATABASE_PASSWORD: "secret", DATABASE_PASSWORD_FILE: path })
        assert.strictEqual(
          both.message,
          "DATABASE_PASSWORD and DATABASE_PASSWORD_FILE are both set; unset one of them"
        )
      }))

    it.scoped("authorities to trust mean that the server is verified", () =>
      Effect.gen(function*() {
        const DATABASE_CA_FILE = yield* fileOf(pem)
        const ssl = { rejectUnauthorized: true, ca: pem }
        for (const mode of ["", "?sslmode=require", "?sslmode=verify-full"]) {
          assert.deepInclude(yield* postgres({ DATABASE_URL: `postgres://me@db/shop${mode}`, DATABASE_CA_FILE }), {
            ssl
          })
        }
        assert.deepInclude(yield* postgres({ DATABASE_URL: "postgres://me@db/shop?sslmode=verify-full" }), {
          ssl: { rejectUnauthorized: true }
        })
        const off = yield* load({ DATABASE_URL: "postgres://me@db/shop?sslmode=disable", DATABASE_CA_FILE })
        assert.include(off.message, "it has sslmode=disable beside DATABASE_CA_FILE")
      }))

    it.scoped("files that cannot be used", () =>
      Effect.gen(function*() {
        const DATABASE_URL = "postgres://me@db/shop"
        const garbage = yield* fileOf("-----BEGIN")
        assert.strictEqual(
          (yield* load({ DATABASE_URL, DATABASE_CA_FILE: garbage })).message,
          "DATABASE_CA_FILE must be a file with certificates in PEM, e.g. DATABASE_CA_FILE=/etc/holdfast/ca.pem; the file " +
            "holds none"
        )
        // Who puts the password where the name of its file belongs must not read it in the error.
        assert.strictEqual(
          (yield* load({ DATABASE_URL, DATABASE_PASSWORD_FILE: "hunter2" })).message,
          "DATABASE_PASSWORD_FILE must be a file with the password that can be read, e.g. " +
            "DATABASE_PASSWORD_FILE=/run/secrets/password; ENOENT"
        )
      }))

    for (
      const [url, problem] of [
        ["hunter2", "does not begin with postgres://"],
        ["postgres://db/shop", "names no user"],
        ["postgres://me@db", "names no database"],
        ["postgres://me@db:0/shop", "names port 0"],
        ["postgres://me@one,two/shop", "names no host, or more than one"],
        ["postgres://me:hunter2/x@db/shop", "cannot be read as a URL"],
        ["postgres://me:5/hunter2@db/shop", "cannot be read as a URL"],
        ["postgres://me:5#hunter2@db/shop", "cannot be read as a URL"],
        ["postgres://me:%zz@db/shop", "cannot be read as a URL"],
        ["postgres://me@db/shop?sslmode=prefer", "has an sslmode other than disable, require and verify-full"],
        ["postgres://me@db/shop?schema=hunter2", "has the parameter schema; only sslmode is understood"]
      ] as const
    ) {
      it.effect(`${url} ${problem}`, () =>
        Effect.map(load({ DATABASE_URL: url }), ({ message }) => {
          assert.include(message, `; it ${problem}`)
          assert.notInclude(message, "hunter2")
        }))
    }
  })

  describe("Kafka", () => {
    it.effect("brokers alone", () =>
      Effect.map(kafka({ KAFKA_BROKERS: "one:9092, 10.0.0.2:9093,one:9092" }), (found) => {
        assert.deepStrictEqual(
          found,
          bare({
            brokers: ["one:9092", "10.0.0.2:9093"],
            ssl: false,
            sasl: undefined,
            session: Duration.seconds(10)
          })
        )
      }))

    it.scoped("encryption and a user", () =>
      Effect.gen(function*() {
        const found = yield* kafka({
          KAFKA_BROKERS: "one:9092",
          KAFKA_CA_FILE: yield* fileOf(pem),
          KAFKA_SASL_MECHANISM: "SCRAM-SHA-512",
          KAFKA_SASL_USERNAME: "me",
          KAFKA_SASL_PASSWORD_FILE: yield* fileOf("secret"),
          KAFKA_SESSION_TIMEOUT: "45s"
        })
        assert.deepStrictEqual(
          found,
          bare({
            brokers: ["one:9092"],
            ssl: { rejectUnauthorized: true, ca: pem },
            sasl: { mechanism: "scram-sha-512", username: "me", password: "secret" },
            session: Duration.seconds(45)
          })
        )
        assert.deepInclude(yield* kafka({ KAFKA_BROKERS: "one:9092", KAFKA_SSL: "true" }), {
          ssl: { rejectUnauthorized: true }
        })
        const off = yield* load({ KAFKA_BROKERS: "one:9092", KAFKA_SSL: "false", KAFKA_CA_FILE: yield* fileOf(pem) })
        assert.strictEqual(off.message, "KAFKA_SSL is false beside KAFKA_CA_FILE; unset one of them")
      }))

    for (const brokers of ["one", "one:0", "one:70000", "one:9092,", "kafka://one:9092", "[::1]:9092", "a b:1"]) {
      it.effect(`${brokers} is no list of brokers`, () =>
        Effect.map(load({ KAFKA_BROKERS: brokers }), ({ message }) => {
          assert.include(message, "must be a list of HOST:PORT")
        }))
    }
  })

  describe("Redis", () => {
    it.effect("an address alone", () =>
      Effect.map(redis({ REDIS_URL: "redis://127.0.0.1" }), (found) => {
        assert.deepStrictEqual(found, {
          url: "redis://127.0.0.1:6379/0",
          host: "127.0.0.1",
          port: 6379,
          database: 0,
          user: undefined,
          password: undefined,
          tls: false
        })
      }))

    it.scoped("encryption, a user and a database", () =>
      Effect.gen(function*() {
        const found = yield* redis({
          REDIS_URL: "rediss://me:old@cache:6380/3",
          REDIS_PASSWORD: "s:e/c@ret",
          REDIS_CA_FILE: yield* fileOf(pem)
        })
        assert.deepStrictEqual(found, {
          url: "rediss://me:s%3Ae%2Fc%40ret@cache:6380/3",
          host: "cache",
          port: 6380,
          database: 3,
          user: "me",
          password: "s:e/c@ret",
          tls: { rejectUnauthorized: true, ca: pem }
        })
        const plain = yield* load({ REDIS_URL: "redis://cache", REDIS_CA_FILE: yield* fileOf(pem) })
        assert.include(plain.message, "begin it with rediss://")
      }))

    it.effect("a password alone", () =>
      Effect.map(redis({ REDIS_URL: "redis://:secret@cache" }), (found) => {
        assert.deepInclude(found, { user: undefined, password: "secret", url: "redis://:secret@cache:6379/0" })
      }))
  })

  it.effect("an agent's own fallback and address come before those for all", () =>
    Effect.gen(function*() {
      const config = yield* AgentConfig.load({
        HOLDFAST_FALLBACK: "forbidden",
        PAYMENT_FALLBACK: "allowed",
        GIFT_CARD_FALLBACK: "allowed",
        HOLDFAST_PEER_URL: "https://shop.example.com/agents/",
        INVENTORY_URL: "http://127.0.0.1:4003"
      })
      assert.deepStrictEqual(
        ["order", "payment", "gift-card"].map((agent) => AgentConfig.fallbackOf(config, agent)),
        ["forbidden", "allowed", "allowed"]
      )
      assert.deepStrictEqual(
        ["order", "inventory"].map((agent) => AgentConfig.peerUrl(config, agent, "http://me")),
        ["https://shop.example.com/agents", "http://127.0.0.1:4003"]
      )
      assert.strictEqual(
        AgentConfig.stray(config, ["order", "payment"])?.message,
        "GIFT_CARD_FALLBACK names no agent; there are order, payment"
      )
      assert.isUndefined(AgentConfig.stray(config, ["order", "gift-card"]))
    }))

  it("a process that listens on all its addresses asks itself on one of them", () => {
    assert.deepStrictEqual(
      ["127.0.0.1", "0.0.0.0", "::", "fe80::1", "shop"].map((host) => AgentConfig.ownUrl(host, 4000)),
      ["127.0.0.1", "127.0.0.1", "[::1]", "[fe80::1]", "shop"].map((host) => `http://${host}:4000`)
    )
  })

  it.effect("no error repeats a password, encoded or not, whatever else is wrong", () => {
    // Every second letter is one that no error line has twice in a row.
    const secrets = FastCheck.array(
      FastCheck.tuple(
        FastCheck.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 1 }),
        FastCheck.constantFrom("Q", "Z", "J", "X")
      ),
      { minLength: 3, maxLength: 12 }
    ).map((pairs) => pairs.flat().join(""))
    const written = secrets.chain((secret) =>
      FastCheck.constantFrom(secret, encodeURIComponent(secret)).map((text) => ({ secret, text }))
    )
    const variables = written.chain(({ secret, text }) =>
      FastCheck.record({
        variable: FastCheck.constantFrom(
          "DATABASE_URL",
          "KAFKA_BROKERS",
          "REDIS_URL",
          "HOLDFAST_PEER_URL",
          "ORDER_URL",
          "HOLDFAST_HOST",
          "LOG_LEVEL"
        ),
        scheme: FastCheck.constantFrom("postgres://", "redis://", "rediss://", "mysql://", "kafka://", "http://", ""),
        tail: FastCheck.constantFrom("db", "db:5432", "db:0/x", "a,b/c", "db/shop?password=1", "[::1]/x?sslmode=no")
      }).map(({ scheme, tail, variable }) => ({ secret, text, variable, value: `${scheme}me:${text}@${tail}` }))
    )
    return Effect.promise(() =>
      FastCheck.assert(
        FastCheck.asyncProperty(variables, async ({ secret, text, value, variable }) => {
          const outcome = await Effect.runPromise(Effect.either(AgentConfig.load({ [variable]: value })))
          const message = outcome._tag === "Left" ? outcome.left.message : ""
          assert.notInclude(message, "\n")
          assert.notInclude(message, secret)
          assert.notInclude(message, text)
          // Neither may a part of it that is long enough to be of use.
          for (let at = 0; at + 5 <= secret.length; at++) assert.notInclude(message, secret.slice(at, at + 5))
        }),
        { numRuns: 1_000 }
      )
    )
  })
})
