import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Option from "effect/Option"

/**
 * A policy that makes no sense, refused when it is built. `field` is the option's path (`breaker.probes`), `reason`
 * says what would be right.
 *
 * @category errors
 */
export class PolicyInvalid extends Data.TaggedError("PolicyInvalid")<{
  readonly policy: string
  readonly field: string
  readonly reason: string
}> {
  override get message() {
    return `Policy "${this.policy}": ${this.field} ${this.reason}`
  }
}

/**
 * One requirement of a policy: the field, whether it holds, and what to say when it does not.
 *
 * @category models
 */
export type Requirement = readonly [field: string, holds: boolean, reason: string]

/**
 * The first requirement that does not hold, as a failure; else `value`.
 *
 * @category combinators
 */
export const unless = <A>(
  policy: string,
  value: A,
  requirements: ReadonlyArray<Requirement>
): Either.Either<A, PolicyInvalid> => {
  const broken = requirements.find(([, holds]) => !holds)
  return broken === undefined
    ? Either.right(value)
    : Either.left(new PolicyInvalid({ policy, field: broken[0], reason: broken[2] }))
}

/**
 * The milliseconds of a duration, `NaN` for what is none: every comparison with it is false, so a requirement
 * written as a comparison refuses it.
 *
 * @category combinators
 */
export const millis = (duration: Duration.DurationInput): number =>
  Option.match(Duration.decodeUnknown(duration), { onNone: () => NaN, onSome: Duration.toMillis })
