import type * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import type * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { CommandPolicy } from "@holdfast/contracts/CommandPolicy"
import * as Problem from "@holdfast/contracts/Problem"
import * as Arbitrary from "effect/Arbitrary"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Http from "node:http"
import * as Net from "node:net"

/**
 * The routes of one agent.
 *
 * @category models
 */
export interface Target {
  readonly agent: string
  readonly api: HttpApiGroup.HttpApiGroup.Any
  /** Endpoints to leave alone, by name. */
  readonly except?: ReadonlyArray<string>
}

/**
 * A request that means harm, or at least was not thought through.
 *
 * @category models
 */
export interface Hostile {
  /** What is wrong with it. */
  readonly name: string
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string>>>
  readonly body: string | Uint8Array | undefined
  /** It cannot be valid: it must be refused with a 4xx. Otherwise it may succeed, but never fail with a 5xx. */
  readonly invalid: boolean
}

/**
 * What came of the attack; `faults` is empty when the agents stood it.
 *
 * @category models
 */
export interface Report {
  readonly requests: number
  readonly faults: ReadonlyArray<string>
}

const nasty = {
  sql: "'; drop table operation; --",
  sqlUnion: "\" or 1=1 union select answer from operation --",
  headerInjection: "x\r\nSet-Cookie: a=b\r\n\r\n<script>",
  html: "<script>alert(1)</script>",
  path: "../../../../etc/passwd",
  template: "${7*7}{{7*7}}%s%n",
  emoji: "👩‍👩‍👧‍👦".repeat(50),
  rightToLeft: "\u202Eevil\u2066",
  long: "x".repeat(40_000),
  empty: "",
  space: "   "
}

const nastyValues: ReadonlyArray<unknown> = [
  null,
  true,
  -1,
  0.1,
  -0.000_001,
  1e308,
  Number.MAX_SAFE_INTEGER + 2,
  [],
  {},
  [[[[]]]],
  "1",
  "NaN",
  ...Object.values(nasty)
]

type Json = unknown

/** Every place in a value, as a path of keys. */
const places = (
  value: Json,
  at: ReadonlyArray<string | number> = []
): ReadonlyArray<ReadonlyArray<string | number>> => {
  if (Array.isArray(value)) return [at, ...value.slice(0, 3).flatMap((item, i) => places(item, [...at, i]))]
  if (typeof value !== "object" || value === null) return [at]
  return [at, ...Object.entries(value).flatMap(([key, inner]) => places(inner, [...at, key]))]
}

const replace = (value: Json, at: ReadonlyArray<string | number>, change: (inner: Json) => Json): Json => {
  const [key, ...rest] = at
  if (key === undefined) return change(value)
  if (Array.isArray(value)) return value.map((item, i) => i === key ? replace(item, rest, change) : item)
  return Object.fromEntries(
    Object.entries(Object(value)).flatMap(([name, inner]) => {
      if (name !== key) return [[name, inner]]
      const changed = replace(inner, rest, change)
      return changed === undefined ? [] : [[name, changed]]
    })
  )
}

const deep = (levels: number): string => `${"[".repeat(levels)}${"]".repeat(levels)}`

const pathWith = (path: string, value: string): string => path.replaceAll(/:\w+/g, () => encodeURIComponent(value))

/** What the routes of an API take and how they are called. */
interface Route {
  readonly endpoint: HttpApiEndpoint.HttpApiEndpoint.AnyWithProps
  readonly path: string
  readonly isCommand: boolean
  /** A path whose parameters have the right form, though they name nothing. */
  readonly plausiblePath: (at: number) => string
  readonly payload: ((at: number) => Json) | undefined
  readonly headers: (key: string) => Record<string, string>
}

/** Seeded values of a schema; where its pattern defeats the generator, none. */
const samples = (schema: Option.Option<Schema.Schema.All>, seed: number, count: number): ReadonlyArray<Json> => {
  if (Option.isNone(schema)) return []
  try {
    const plain = Schema.make<unknown, unknown, never>(schema.value.ast)
    const encode = Schema.encodeUnknownEither(plain)
    return FastCheck.sample(Arbitrary.make(plain), { seed, numRuns: count }).flatMap((value) => {
      const encoded = encode(value)
      return encoded._tag === "Right" ? [encoded.right] : []
    })
  } catch {
    return []
  }
}

const routesOf = (target: Target, seed: number, rounds: number): ReadonlyArray<Route> => {
  // A group always has its endpoints; its `Any` form hides them from the types.
  const { endpoints } = target.api as HttpApiGroup.HttpApiGroup.AnyWithProps
  return Object.values(endpoints).filter((endpoint) => target.except?.includes(endpoint.name) !== true).map(
    (endpoint): Route => {
      const policy = Option.getOrUndefined(Context.getOption(endpoint.annotations, CommandPolicy))
      const payloads = samples(endpoint.payloadSchema, seed, rounds)
      const paths = samples(endpoint.pathSchema, seed, rounds)
      const path = `/${target.agent}${endpoint.path === "/" ? "" : endpoint.path}`
      return {
        endpoint,
        path,
        isCommand: policy !== undefined,
        plausiblePath: (at) => {
          const parameters = Object(paths[at % Math.max(1, paths.length)] ?? {})
          return path.replaceAll(/:(\w+)/g, (_, name: string) => encodeURIComponent(String(parameters[name] ?? "x")))
        },
        payload: Option.isNone(endpoint.payloadSchema)
          ? undefined
          : (at) => payloads[at % Math.max(1, payloads.length)] ?? {},
        headers: (key) => ({
          "content-type": "application/json",
          ...(policy === undefined ? {} : { "idempotency-key": key }),
          ...(policy?.ifMatch === "required" ? { "if-match": "\"1\"" } : {})
        })
      }
    }
  )
}

const withoutHeader = (headers: Record<string, string>, name: string): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([key]) => key !== name))

const ofRoute = (route: Route, seed: number, rounds: number): ReadonlyArray<Hostile> => {
  const { endpoint } = route
  const key = (name: string) => `hostile-${seed}-${endpoint.name}-${name}`.slice(0, 255)
  const request = (name: string, invalid: boolean, change: Partial<Hostile>): Hostile => ({
    name: `${endpoint.name}: ${name}`,
    method: endpoint.method,
    path: route.plausiblePath(0),
    headers: route.headers(key(name)),
    body: route.payload === undefined ? undefined : JSON.stringify(route.payload(0)),
    invalid,
    ...change
  })
  const hasParameters = route.path.includes(":")
  const paths = hasParameters
    ? [
      ...Object.entries(nasty).filter(([, text]) => text !== "").map(([name, text]) =>
        request(`path ${name}`, false, { path: pathWith(route.path, text) })
      ),
      request("path with NUL", true, { path: route.path.replaceAll(/:\w+/g, "%00") }),
      request("path with bad UTF-8", true, { path: route.path.replaceAll(/:\w+/g, "%ff%fe") }),
      request("path with a broken escape", true, { path: route.path.replaceAll(/:\w+/g, "%zz") }),
      request("path of 10 kB", true, { path: route.path.replaceAll(/:\w+/g, "a".repeat(10_000)) })
    ]
    : []
  const queries = endpoint.method === "GET"
    ? [
      "limit=-1",
      "limit=1e9",
      "limit=abc",
      "after=%00",
      "after=not-a-cursor",
      "after=W10",
      "after=W251bGwse31d",
      "limit=1&limit=2",
      `after=${"A".repeat(5_000)}`,
      "__proto__[a]=1&constructor=1",
      ...Object.values(nasty).filter((text) => text.length < 1000).map((text) =>
        `status=${encodeURIComponent(text)}&state=${encodeURIComponent(text)}&q=${encodeURIComponent(text)}`
      )
    ].map((query) =>
      request(`query ${query.slice(0, 40)}`, query.includes("%00"), { path: `${route.plausiblePath(0)}?${query}` })
    )
    : []
  const headers = [
    request("a correlation id that injects", false, {
      headers: { ...route.headers(key("c")), "x-correlation-id": "a b<>" }
    }),
    request("a deadline that is no time", true, {
      headers: { ...route.headers(key("d")), "x-request-deadline": "soon" }
    }),
    request("an unknown method", true, { method: "PROPFIND" }),
    ...(route.isCommand
      ? [
        request("a key of 256 characters", true, { headers: { ...route.headers("k".repeat(256)) } }),
        request("an empty key", true, { headers: { ...route.headers("") } }),
        request("a key that is not ASCII", true, { headers: { ...route.headers("k\u00e9y") } }),
        request("an If-Match that is no version", true, {
          headers: { ...route.headers(key("m")), "if-match": "\"1' or 1=1\"" }
        })
      ]
      : [])
  ]
  if (route.payload === undefined) return [...paths, ...queries, ...headers]

  const payload = route.payload
  const json = JSON.stringify(payload(0))
  const bodies = [
    request("no body", false, { body: undefined }),
    request("an empty object", false, { body: "{}" }),
    request("null", true, { body: "null" }),
    request("a number", true, { body: "1" }),
    request("an array", true, { body: "[]" }),
    request("half a JSON", true, { body: json.slice(0, -1) }),
    request("two JSONs", true, { body: `${json}${json}` }),
    request("not JSON", true, { body: "amount=1" }),
    request("NaN", true, { body: "{\"amount\":NaN}" }),
    request("bad UTF-8", true, { body: new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]) }),
    request("33 levels deep", true, { body: `{"a":${deep(33)}}` }),
    request("100 000 levels deep", true, { body: deep(100_000) }),
    request("a NUL", true, { body: "{\"a\":\"\\u0000\"}" }),
    request("half a surrogate pair", true, { body: "{\"a\":\"\\ud800\"}" }),
    request("a prototype", false, { body: "{\"__proto__\":{\"amount\":1},\"constructor\":{\"prototype\":{}}}" }),
    request("3 MiB", true, { body: JSON.stringify({ ...Object(payload(0)), padding: "x".repeat(3 * 1024 * 1024) }) }),
    request("10 000 lines", true, {
      body: JSON.stringify({ lines: Array.from({ length: 10_000 }, () => ({ sku: 1 })) })
    }),
    request("XML", true, { headers: { ...route.headers(key("x")), "content-type": "application/xml" }, body: "<a/>" }),
    request("no content type", true, { headers: withoutHeader(route.headers(key("t")), "content-type") }),
    request("a form", true, {
      headers: { ...route.headers(key("f")), "content-type": "application/x-www-form-urlencoded" },
      body: "a=1"
    })
  ]
  const mutations = Array.from({ length: rounds }, (_, round) => {
    const base = payload(round)
    const all = places(base)
    // Seeded by the round alone: the same seed throws the same requests.
    const at = all[(seed + round * 7919) % all.length] ?? []
    const value = nastyValues[(seed + round * 104_729) % nastyValues.length]
    const missing = round % 5 === 0 && at.length > 0
    return request(
      `${missing ? "without" : `${JSON.stringify(value)?.slice(0, 20) ?? ""} at`} ${at.join(".")}`,
      false,
      {
        path: route.plausiblePath(round),
        headers: route.headers(key(`mutation-${round}`)),
        body: JSON.stringify(replace(base, at, () => missing ? undefined : value)) ?? "null"
      }
    )
  })
  return [...paths, ...queries, ...headers, ...bodies, ...mutations]
}

/**
 * The hostile requests for all routes: wrong types, missing fields, huge and deep bodies, bad UTF-8, injections, negative and
 * fractional numbers, odd headers. The same seed makes the same requests.
 *
 * @category generators
 */
export const requests = (targets: ReadonlyArray<Target>, seed: number, rounds: number): ReadonlyArray<Hostile> =>
  targets.flatMap((target) => routesOf(target, seed, rounds).flatMap((route) => ofRoute(route, seed, rounds)))

/** The connection broke, or node's client would not send the request (`unsendable`). */
class NoAnswer extends Data.TaggedError("NoAnswer")<{ readonly message: string; readonly unsendable: boolean }> {}

const noAnswer = (error: Error): NoAnswer =>
  new NoAnswer({
    message: error.message,
    unsendable: "code" in error && String(error.code).startsWith("ERR_")
  })

interface Reply {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly body: string
}

const send = (port: number, hostile: Hostile, agent: Http.Agent): Effect.Effect<Reply, NoAnswer> =>
  Effect.async((resume) => {
    try {
      const sent = Http.request(
        { host: "127.0.0.1", port, method: hostile.method, path: hostile.path, agent },
        (response) => {
          const chunks: Array<Buffer> = []
          response.on("data", (chunk: Buffer) => chunks.push(chunk))
          response.on("error", (error) => resume(noAnswer(error)))
          response.on("end", () =>
            resume(Effect.succeed({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: Buffer.concat(chunks).toString()
            })))
        }
      )
      for (const [name, value] of Object.entries(hostile.headers)) sent.setHeader(name, value)
      sent.on("error", (error) => resume(noAnswer(error)))
      sent.end(hostile.body)
    } catch (error) {
      // Node's client refuses what it cannot send; the raw requests below cover that.
      resume(noAnswer(error instanceof Error ? error : new TypeError(String(error))))
    }
  })

const codes = () => new Set(Problem.all().map((problem) => problem.code))

const parsed = (body: string): Record<string, unknown> => {
  try {
    return Object(JSON.parse(body))
  } catch {
    return {}
  }
}

/** What is wrong with the reply, if anything. */
const faultOf = (hostile: Hostile, reply: Reply, known: ReadonlySet<string>): string | undefined => {
  const about = `${hostile.method} ${hostile.path.slice(0, 80)} (${hostile.name}): ${reply.status}`
  if (reply.status >= 500) return `${about} ${reply.body.slice(0, 200)}`
  if (reply.status < 400) return hostile.invalid ? `${about}: an invalid request was accepted` : undefined
  if (reply.headers["content-type"] !== "application/problem+json") return `${about} is no problem+json`
  const problem = parsed(reply.body)
  if (!known.has(String(problem["code"]))) return `${about} has no code of the catalogue: ${reply.body.slice(0, 200)}`
  if (problem["status"] !== reply.status) return `${about} says status ${String(problem["status"])}`
  if (typeof problem["detail"] !== "string" || typeof problem["correlationId"] !== "string") {
    return `${about} lacks detail or correlationId`
  }
  if (/\bat \S+ \(|node_modules|SQLITE_|\/packages\//.test(reply.body)) {
    return `${about} tells about the inside: ${reply.body}`
  }
  if (reply.headers["set-cookie"] !== undefined) return `${about} lets a header in`
  return undefined
}

/** Requests below HTTP: what node's client would never send. */
const raw: ReadonlyArray<readonly [name: string, text: string]> = [
  ["no HTTP", "hello\r\n\r\n"],
  ["HTTP/9.9", "GET / HTTP/9.9\r\nhost: a\r\n\r\n"],
  ["no host", "GET / HTTP/1.1\r\n\r\n"],
  ["a space in the path", "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n"],
  ["a header without a name", "GET / HTTP/1.1\r\nhost: a\r\n: x\r\n\r\n"],
  ["a folded header", "GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n"],
  ["two lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"],
  ["a negative length", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n"],
  [
    "length and chunks",
    "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
  ],
  ["a bad chunk", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"],
  ["20 kB of headers", `GET / HTTP/1.1\r\nhost: a\r\nx: ${"a".repeat(20_000)}\r\n\r\n`],
  ["a NUL in a header", "GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n"]
]

const sendRaw = (port: number, text: string): Effect.Effect<Reply, NoAnswer> =>
  Effect.async<string, NoAnswer>((resume) => {
    let received = ""
    const socket = Net.connect(port, "127.0.0.1", () => socket.write(text))
    socket.setTimeout(2_000, () => socket.destroy())
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1")
    })
    socket.on("error", (error) => resume(received === "" ? noAnswer(error) : Effect.succeed(received)))
    socket.on("close", () => resume(Effect.succeed(received)))
    // A request that is answered on a connection which stays open.
    setTimeout(() => socket.end(), 300).unref()
    return Effect.sync(() => socket.destroy())
  }).pipe(Effect.map((received) => {
    const [head = "", body = ""] = received.split("\r\n\r\n")
    const [status = "", ...lines] = head.split("\r\n")
    return {
      status: Number(status.split(" ")[1] ?? 0),
      headers: Object.fromEntries(lines.map((line) => {
        const at = line.indexOf(":")
        return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()]
      })),
      body
    }
  }))

/**
 * Throws all hostile requests at a server and reports every answer that is not what it promises: a 5xx, a refusal that is no
 * problem+json with a code of the catalogue, an invalid request that is accepted, a connection that is reset, or a
 * change of `stored` (any value that stands for what the agents have stored) by requests that cannot be valid.
 *
 * @category attack
 */
export const attack = <E, R>(options: {
  readonly port: number
  readonly targets: ReadonlyArray<Target>
  readonly seed: number
  /** Mutated bodies for each route. */
  readonly rounds: number
  readonly stored: Effect.Effect<unknown, E, R>
}): Effect.Effect<Report, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => new Http.Agent({ keepAlive: true, maxSockets: 8 })),
    (agent) =>
      Effect.gen(function*() {
        const known = codes()
        const all = requests(options.targets, options.seed, options.rounds)
        const faults: Array<string> = []
        const run = (batch: ReadonlyArray<Hostile>) =>
          Effect.forEach(batch, (hostile) =>
            Effect.match(send(options.port, hostile, agent), {
              onSuccess: (reply) => {
                const fault = faultOf(hostile, reply, known)
                if (fault !== undefined) faults.push(fault)
              },
              onFailure: (error) => {
                if (!error.unsendable) {
                  faults.push(`${hostile.method} ${hostile.path.slice(0, 80)} (${hostile.name}): ${error.message}`)
                }
              }
            }), { concurrency: 8, discard: true })
        const before = JSON.stringify(yield* options.stored)
        yield* run(all.filter((hostile) => hostile.invalid))
        for (const [name, text] of raw) {
          const reply = yield* Effect.either(sendRaw(options.port, text))
          if (reply._tag === "Left") faults.push(`raw ${name}: ${reply.left.message}`)
          else if (reply.right.status < 400 || reply.right.status >= 500) {
            faults.push(`raw ${name}: ${reply.right.status}`)
          } else if (reply.right.headers["content-type"] !== "application/problem+json") {
            faults.push(`raw ${name}: ${reply.right.status} is no problem+json`)
          }
        }
        const after = JSON.stringify(yield* options.stored)
        if (after !== before) faults.push(`invalid requests changed what is stored: ${before} became ${after}`)
        yield* run(all.filter((hostile) => !hostile.invalid))
        return { requests: all.length + raw.length, faults }
      }),
    (agent) => Effect.sync(() => agent.destroy())
  )
