/** What a guarded call costs, beside cockatiel and opossum, in one process. */
import * as cockatiel from "cockatiel"
import { Data, Duration, Effect, Ref, Schedule } from "effect"
import { pathToFileURL } from "node:url"
import CircuitBreaker from "opossum"
import * as Failure from "../src/Failure.ts"
import * as Policy from "../src/Policy.ts"

/**
 * One comparison: medians of the rounds, the ratio of `ours` to `peerValue` taken round by round.
 */
export interface Row {
  readonly name: string
  readonly ours: number
  readonly peer: string
  readonly peerValue: number
  readonly ratio: number
  readonly unit: string
}

class Broken extends Data.TaggedError("Broken") {}

const failures = Failure.classifier<Broken>({ Broken: { severity: "high", recovery: "retry" } })
const answer = () => Promise.resolve(42)
const reject = () => Promise.reject(new Error("down"))

/** A subject runs its operation `count` times in sequence and says how many nanoseconds one took. */
type Subject = (count: number) => Promise<number>

/** All calls in one fiber, as a handler makes them. */
const inFiber = (operation: Effect.Effect<unknown, unknown>): Subject => (count) =>
  Effect.runPromise(Effect.suspend(() => {
    let done = 0
    const begun = performance.now()
    return Effect.map(
      Effect.whileLoop({ while: () => done < count, body: () => operation, step: () => done++ }),
      () => (performance.now() - begun) * 1e6 / count
    )
  }))

const awaited = (operation: () => Promise<unknown>): Subject => async (count) => {
  const begun = performance.now()
  for (let done = 0; done < count; done++) await operation()
  return (performance.now() - begun) * 1e6 / count
}

const swallowed = (operation: () => Promise<unknown>) => () => operation().catch(() => undefined)

const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? NaN
}

/** The subjects take turns, so that what the machine does meanwhile hits them alike. */
const interleaved = async (subjects: Readonly<Record<string, Subject>>, count: number, rounds: number) => {
  const times: Record<string, Array<number>> = {}
  for (const subject of Object.values(subjects)) await subject(count)
  for (let round = 0; round < rounds; round++) {
    for (const [name, subject] of Object.entries(subjects)) (times[name] ??= []).push(await subject(count))
  }
  return times
}

const rowsOf = (
  name: string,
  times: Readonly<Record<string, ReadonlyArray<number>>>,
  ours: string
): ReadonlyArray<Row> =>
  Object.entries(times).filter(([peer]) => peer !== ours).map(([peer, values]) => ({
    name,
    ours: median(times[ours] ?? []),
    peer,
    peerValue: median(values),
    ratio: median(values.map((value, round) => (times[ours]?.[round] ?? NaN) / value)),
    unit: "ns/call"
  }))

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

/**
 * Runs the comparisons, about half a minute.
 */
export const run = async (count = 50_000, rounds = 7): Promise<ReadonlyArray<Row>> => {
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
  opened.breaker.trip(performance.now())
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
    const guarded = await interleaved(
      {
        holdfast: inFiber(policy.promise(answer)),
        "bare Effect.promise": inFiber(Effect.promise(answer)),
        "cockatiel 3.2.1 (retry, breaker, bulkhead, timeout)": awaited(() => cockatielAll.execute(answer)),
        "opossum 9.0.0 (timeout, capacity; no retry)": awaited(() => opossum.fire()),
        "Effect's own operators (the same four)": inFiber(naive)
      },
      count,
      rounds
    )
    const effects = await interleaved(
      {
        holdfast: inFiber(policy.effect(Effect.promise(answer))),
        "Effect's own operators (the same four)": inFiber(naive)
      },
      count / 5,
      rounds
    )
    const refused = await interleaved(
      {
        holdfast: inFiber(Effect.catchAll(opened.promise(answer), () => Effect.void)),
        "cockatiel 3.2.1": awaited(swallowed(() => cockatielOpened.execute(answer))),
        "opossum 9.0.0": awaited(swallowed(() => opossumOpened.fire()))
      },
      count,
      rounds
    )
    return [
      ...rowsOf("guarded call", guarded, "holdfast"),
      ...rowsOf("guarded effect", effects, "holdfast"),
      ...rowsOf("refused by an open breaker", refused, "holdfast")
    ]
  } finally {
    opossum.shutdown()
    opossumOpened.shutdown()
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  for (const row of await run()) {
    console.log(
      `${row.name}: ${row.ours.toFixed(0)} ${row.unit}, ${row.peer}: ${row.peerValue.toFixed(0)}, ratio ${
        row.ratio.toFixed(3)
      }`
    )
  }
}
