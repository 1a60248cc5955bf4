import { afterAll, beforeAll } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

/**
 * Something that all tests of a suite share, such as a server: opened before the first of them, closed after the last. To
 * be called in the body of `describe`; the answered function gives it to the tests.
 *
 * @category constructors
 */
export const make = <A, E>(open: Effect.Effect<A, E, Scope.Scope>): () => A => {
  const scope = Effect.runSync(Scope.make())
  let opened: { readonly value: A } | undefined
  beforeAll(async () => {
    opened = { value: await Effect.runPromise(Scope.extend(open, scope)) }
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return () => {
    if (opened === undefined) throw new TypeError("what a suite shares is there in its tests only")
    return opened.value
  }
}
