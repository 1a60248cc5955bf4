import * as Effect from "effect/Effect"

/** CPU time of one look, in milliseconds: several turns of a scheduler. */
const LOOK_MILLIS = 40

/**
 * How much longer than by itself everything takes here now, at least 1: the time that passes while this process works for
 * a moment. A bound in real time is multiplied by it, so that it says the same on a machine that others use too.
 *
 * @category measuring
 */
export const stretch: Effect.Effect<number> = Effect.sync(() => {
  const begun = performance.now()
  const before = process.cpuUsage()
  for (;;) {
    const { system, user } = process.cpuUsage(before)
    const used = (system + user) / 1_000
    if (used >= LOOK_MILLIS) return Math.max(1, (performance.now() - begun) / used)
  }
})
