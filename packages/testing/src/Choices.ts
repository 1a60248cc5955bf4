import { PCGRandom } from "effect/Utils"

/**
 * Choices that a seed repeats: plain functions, so that a hook on bytes can choose too.
 *
 * @category models
 */
export interface Choices {
  /** At least 0, below 1. */
  readonly number: () => number
  /** Both ends included. */
  readonly integer: (from: number, to: number) => number
  readonly chance: (probability: number) => boolean
  readonly pick: <A>(from: readonly [A, ...ReadonlyArray<A>]) => A
  readonly shuffle: <A>(all: ReadonlyArray<A>) => ReadonlyArray<A>
}

/** Different for names that differ, so that who chooses more often disturbs nobody else's choices. */
const mixed = (seed: number, name: string): number => {
  let hash = seed | 0
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193)
  return hash
}

/**
 * The choices of this name under a seed.
 *
 * @category constructors
 */
export const make = (seed: number, name: string): Choices => {
  const random = new PCGRandom(mixed(seed, name))
  const number = () => random.number()
  const integer = (from: number, to: number) => from + Math.floor(number() * (to - from + 1))
  return {
    number,
    integer,
    chance: (probability) => number() < probability,
    pick: (from) => from[integer(0, from.length - 1)] ?? from[0],
    shuffle: (all) => {
      const rest = [...all]
      return all.flatMap(() => rest.splice(integer(0, rest.length - 1), 1))
    }
  }
}
