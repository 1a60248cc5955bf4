// A test fails whatever the failure is: its type may stay open.
// @effect-diagnostics anyUnknownInErrorContext:off
/** What a guarded call costs, beside cockatiel and opossum, in one process. */
import * as cockatiel from "cockatiel"
import { Data, Duration, Effect, Ref, Schedule } from "effect"
import CircuitBreaker from "opossum"
import * as Failure from "../src/Failure.ts"
import * as Policy from "../src/Policy.ts"
import type { Bench, Options, Row } from "./Bench.ts"
import { compare, interleave } from "./Bench.ts"

class Broken extends Data.TaggedError("Broken") {}

const failures = Failure.classifier<Broken>({ Broken: { severity: "high", recovery: "retry" } })
const answer = () => Promise.resolve(42)
const reject = () => Promise.reject(new Error("down"))

/** Runs its operation so often in sequence and says how many nanoseconds one took. */
type Loop = (count: number) => Promise<number>

/** All calls in one fiber, as a handler makes them. */
const inFiber = <A, E>(operation: Effect.Effect<A, E>): Loop => (count) =>
  Effect.runPromise(Effect.suspend(() => {
    let done = 0
    const begun = performance.now()
    return Effect.map(
      Effect.whileLoop({ while: () => done < count, body: () => operation, step: () => done++ }),
      () => (performance.now() - begun) * 1e6 / count
    )
  }))

const awaited = (operation: () => Promise<unknown>): Loop => async (count) => {
  const begun = performance.now()
  for (let done = 0; done < count; done++) await operation()
  return (performance.now() - begun) * 1e6 / count
}

const swallowed = (operation: () => Promise<unknown>) => () => operation().catch(() => undefined)

/** After one round to warm up. */
const measured = async (loops: Readonly<Record<string, Loop>>, count: number, { progress, quick }: Options) => {
  for (const loop of Object.values(loops)) await loop(count)
  const subjects = Object.fromEntries(Object.entries(loops).map(([name, loop]) => [name, () => loop(count)]))
  return interleave(subjects, quick ? 3 : 7, progress)
}

/** What one writes with Effect's own operators. */
const naiveStack = (call: Effect.Effect<number, Broken>) =>
  Effect.map(Effect.all([Effect.makeSemaphore(10), Ref.make({ failures: 0, openUntil: 0 })]), ([semaphore, state]) => {
    const breaker = <E>(self: Effect.Effect<number, E>) =>
      Effect.gen(function*() {
        const { openUntil } = yield* Ref.get(state)
        if (Date.now() < openUntil) return yield* new Broken()
        return yield* self.pipe(
          Effect.tap(() => Ref.update(state, (now) => now.failures === 0 ? now : { failures: 0, openUntil: 0 })),
          Effect.tapError(() =>
            Ref.update(state, (now) => ({
              failures: now.failures + 1,
              openUntil: now.failures >= 4 ? Date.now() + 5000 : 0
            }))
          )
        )
      })
    return call.pipe(
      Effect.timeout(Duration.seconds(2)),
      semaphore.withPermits(1),
      breaker,
      Effect.retry(Schedule.exponential("100 millis").pipe(Schedule.jittered, Schedule.intersect(Schedule.recurs(2))))
    )
  })

const run = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const count = options.quick ? 10_000 : 50_000
  const policy = await Effect.runPromise(
    Policy.make<Broken>("bench", { failures, classify: () => new Broken(), bulkhead: { limit: 10 } })
  )
  const opened = await Effect.runPromise(
    Policy.make<Broken>("bench", {
      failures,
      classify: () => new Broken(),
      breaker: { open: "1 hour", openCap: "1 hour" }
    })
  )
  opened.breaker.trip()
  const naive = await Effect.runPromise(naiveStack(Effect.promise(answer)))

  const cockatielWith = (threshold: number) =>
    cockatiel.wrap(
      cockatiel.retry(cockatiel.handleAll, { maxAttempts: 2, backoff: new cockatiel.ExponentialBackoff() }),
      cockatiel.circuitBreaker(cockatiel.handleAll, {
        halfOpenAfter: 3_600_000,
        breaker: new cockatiel.ConsecutiveBreaker(threshold)
      }),
      cockatiel.bulkhead(10, 100),
      cockatiel.timeout(2000, cockatiel.TimeoutStrategy.Aggressive)
    )
  const cockatielAll = cockatielWith(5)
  const cockatielOpened = cockatiel.circuitBreaker(cockatiel.handleAll, {
    halfOpenAfter: 3_600_000,
    breaker: new cockatiel.ConsecutiveBreaker(1)
  })
  await swallowed(() => cockatielOpened.execute(reject))()

  const opossum = new CircuitBreaker(answer, { timeout: 2000, capacity: 10 })
  const opossumOpened = new CircuitBreaker(reject, { timeout: 2000, capacity: 10, resetTimeout: 3_600_000 })
  await swallowed(() => opossumOpened.fire())()

  try {
    const guarded = await measured(
      {
        holdfast: inFiber(policy.promise(answer)),
        "bare Effect.promise": inFiber(Effect.promise(answer)),
        "cockatiel 3.2.1 (retry, breaker, bulkhead, timeout)": awaited(() => cockatielAll.execute(answer)),
        "opossum 9.0.0 (timeout, capacity; no retry)": awaited(() => opossum.fire()),
        "Effect's own operators (the same four)": inFiber(naive)
      },
      count,
      options
    )
    const effects = await measured(
      {
        holdfast: inFiber(policy.effect(Effect.promise(answer))),
        "Effect's own operators (the same four)": inFiber(naive)
      },
      count / 5,
      options
    )
    const refused = await measured(
      {
        holdfast: inFiber(Effect.catchAll(opened.promise(answer), () => Effect.void)),
        "cockatiel 3.2.1": awaited(swallowed(() => cockatielOpened.execute(answer))),
        "opossum 9.0.0": awaited(swallowed(() => opossumOpened.fire()))
      },
      count,
      options
    )
    return [
      ...compare("guarded call", "ns/call", guarded, "holdfast", {
        "cockatiel 3.2.1 (retry, breaker, bulkhead, timeout)": { of: "ratio", atMost: 0.15 }
      }),
      ...compare("guarded effect", "ns/call", effects, "holdfast"),
      ...compare("refused by an open breaker", "ns/call", refused, "holdfast")
    ]
  } finally {
    opossum.shutdown()
    opossumOpened.shutdown()
  }
}

export const bench: Bench = {
  title: "A guarded call",
  how:
    "An async function that answers at once, called in sequence under retry, breaker, bulkhead and timeout: what is " +
    "measured is the guard alone. The median of 7 rounds of 50 000 calls; ours and the peers take turns. The peers run " +
    "as their documentation says, opossum without retry because it has none; \"Effect's own operators\" is what one " +
    "writes with `Effect.timeout`, a semaphore, a `Ref` and `Effect.retry`. Less is better.",
  run
}
