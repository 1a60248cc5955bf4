import { assert, describe, it } from "@effect/vitest"
import { Cause, Data, Effect, FastCheck, LogLevel, Redacted } from "effect"
import * as AgentConfig from "../src/AgentConfig.ts"
import * as Logging from "../src/Logging.ts"
import * as Redaction from "../src/Redaction.ts"

class ConnectionFailed extends Data.TaggedError("ConnectionFailed")<{ readonly message: string }> {}

/**
 * Whatever a person can type; a blank and a quotation mark end a URL in a text, and must be encoded in one. Every second
 * letter is one that no other text of a line has twice in a row.
 */
const secrets = FastCheck.array(
  FastCheck.tuple(
    FastCheck.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 1 }).map((char) =>
      char.replace(/[\s"<>]/, "x")
    ),
    FastCheck.constantFrom("Q", "Z", "J", "X")
  ),
  { minLength: 4, maxLength: 12 }
).map((pairs) => pairs.flat().join(""))

const urls = FastCheck.record({
  secret: secrets,
  isEncoded: FastCheck.boolean(),
  scheme: FastCheck.constantFrom("postgres", "postgresql", "redis", "rediss", "http", "https", "amqp+ssl"),
  user: FastCheck.constantFrom("", "me", "me.you-2", "me%40shop"),
  tail: FastCheck.constantFrom("db", "db.example.com:5432/shop", "[::1]:6379/0", "db/shop?sslmode=require")
}).map(({ isEncoded, scheme, secret, tail, user }) => ({
  secret,
  url: `${scheme}://${user}:${isEncoded ? encodeURIComponent(secret) : secret}@${tail}`
}))

/** Nothing of the secret that is long enough to be of use. */
const keeps = (text: string, secret: string) => {
  for (const form of [secret, encodeURIComponent(secret)]) {
    for (let at = 0; at + 6 <= form.length; at++) assert.notInclude(text, form.slice(at, at + 6))
  }
}

describe("redaction", () => {
  it("no log line has a URL's password, wherever the URL stands", () =>
    FastCheck.assert(
      FastCheck.property(urls, ({ secret, url }) => {
        const lines: Array<string> = []
        for (const format of ["json", "pretty"] as const) {
          const error = new ConnectionFailed({ message: `cannot reach ${url}` })
          Effect.runSync(
            Effect.logError(`cannot reach ${url}, tried 3 times`, { url, nested: [{ at: url }] }, Cause.fail(error))
              .pipe(
                Effect.annotateLogs({ url, error, redacted: Redacted.make(url) }),
                Effect.provide(Logging.layer({ format, level: LogLevel.Info, write: (line) => lines.push(line) }))
              )
          )
        }
        assert.lengthOf(lines, 2)
        for (const line of lines) {
          keeps(line, secret)
          assert.include(line, "cannot reach")
        }
      }),
      { numRuns: 500 }
    ))

  it.effect("a server's password is hidden also where the server repeats it", () =>
    Effect.gen(function*() {
      yield* AgentConfig.load({
        DATABASE_URL: "postgres://me:hunter%402@db/shop",
        REDIS_URL: "redis://cache",
        REDIS_PASSWORD: "hunter two",
        KAFKA_BROKERS: "kafka:9092",
        KAFKA_SASL_MECHANISM: "plain",
        KAFKA_SASL_USERNAME: "me",
        KAFKA_SASL_PASSWORD: "hunter two and a half"
      })
      assert.deepStrictEqual(
        Redaction.texts({
          redis: ["ERR unknown command 'auth', with args beginning with: 'hunter two'"],
          kafka: { output: "not me / hunter two and a half", lag: 3, isPaused: false, at: null },
          postgres: "hunter@2, hunter%402"
        }),
        {
          redis: ["ERR unknown command 'auth', with args beginning with: '[redacted]'"],
          kafka: { output: "not me / [redacted]", lag: 3, isPaused: false, at: null },
          postgres: "[redacted], [redacted]"
        }
      )
    }))

  for (
    const [text, safe] of [
      ["at postgres://me:hunter2@db/shop now", "at postgres://[redacted]@db/shop now"],
      ["redis://:p@ss/w@cache:6379/0", "redis://[redacted]@cache:6379/0"],
      ["me:hunter2@db.example.com:5432", "[redacted]@db.example.com:5432"],
      ["?user=me&password=hunter2&ssl=1", "?user=me&password=[redacted]&ssl=1"],
      ["KAFKA_SASL_PASSWORD=hunter2 npm start", "KAFKA_SASL_PASSWORD=[redacted] npm start"],
      ["{\"password\":\"hunter 2\",\"host\":\"db\"}", "{\"password\":[redacted],\"host\":\"db\"}"],
      ["{ password: 'hunter 2', host: 'db' }", "{ password: [redacted], host: 'db' }"],
      ["jane.doe@example.com", "[redacted]"]
    ] as const
  ) {
    it(text, () => {
      assert.strictEqual(Redaction.text(text), safe)
    })
  }

  for (
    const text of [
      "at run (file:///srv/holdfast/node_modules/.pnpm/pg@8.23.1/node_modules/pg/lib/client.js:10:5)",
      "password authentication failed for user \"me\"",
      "http://127.0.0.1:4000/order/orders?limit=2",
      "connect ECONNREFUSED 127.0.0.1:5432",
      "the token: it has expired"
    ]
  ) {
    it(`tells nothing secret: ${text}`, () => {
      assert.strictEqual(Redaction.text(text), text)
    })
  }

  it("is quick on text that is made to be slow", () => {
    const started = performance.now()
    for (const part of ["://", "a:b", "a://b", "password", "x", ":@", "\"secret\""]) {
      Redaction.text(part.repeat(100_000 / part.length))
    }
    assert.isBelow(performance.now() - started, 5_000)
  })
})
