import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as AgentView from "./AgentView.ts"

/** A probe does no IO: what is not answered by then will not be, in milliseconds. */
const ANSWER_MILLIS = 2_000

/**
 * Nobody answers there, or not with the health of agents.
 *
 * @category errors
 */
export class HealthUnknown extends Data.TaggedError("HealthUnknown")<{
  readonly url: string
  readonly detail: string
}> {}

const Health = Schema.Record({ key: Schema.String, value: Schema.Unknown })

const Named = Schema.Struct({ agents: Schema.Array(Schema.Struct({ agent: Schema.String })) })

/**
 * The detailed health below a URL as it was answered: with 200 and, at level 4 or while draining, with 503.
 *
 * @category reading
 */
export const whole = (url: string): Effect.Effect<Readonly<Record<string, unknown>>, HealthUnknown> =>
  Effect.tryPromise({
    try: async () => {
      const response = await fetch(`${url}/health/detailed`, { signal: AbortSignal.timeout(ANSWER_MILLIS) })
      return { status: response.status, body: await response.text() }
    },
    catch: (thrown) => {
      const error = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown
      return new HealthUnknown({ url, detail: error instanceof Error ? error.message : String(error) })
    }
  }).pipe(
    Effect.flatMap(({ body, status }) =>
      Effect.mapError(
        Schema.decode(Schema.parseJson(Health))(body),
        () => new HealthUnknown({ url, detail: `what answers with ${status} is not the health of agents` })
      )
    )
  )

const namesOf = (process: Readonly<Record<string, unknown>>): ReadonlyArray<string> =>
  Option.match(Schema.decodeUnknownOption(Named)(process), {
    onNone: () => [],
    onSome: ({ agents }) => agents.map(({ agent }) => agent)
  })

/**
 * Which agents the process at a URL runs, whatever their levels are.
 *
 * @category reading
 */
export const namesAt = (url: string): Effect.Effect<ReadonlyArray<string>, HealthUnknown> =>
  Effect.map(whole(url), namesOf)

/**
 * The agents of the process at a URL, each as it says itself.
 *
 * @category reading
 */
export const agentsAt = (url: string): Effect.Effect<ReadonlyArray<AgentView.AgentView>, HealthUnknown> =>
  Effect.gen(function*() {
    const process = yield* whole(url)
    const now = yield* Clock.currentTimeMillis
    const names = namesOf(process)
    const [only, ...others] = names
    if (only === undefined) {
      return yield* new HealthUnknown({ url, detail: "what answers does not say which agents it runs" })
    }
    // The health of one agent is that of its process.
    if (others.length === 0) return [AgentView.make(only, process, now)]
    return yield* Effect.forEach(
      names,
      (name) => Effect.map(whole(`${url}/${name}`), (health) => AgentView.make(name, health, now)),
      { concurrency: "unbounded" }
    )
  })
