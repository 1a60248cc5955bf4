import type { Kind } from "@holdfast/contracts/Identifier"

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** How far back a rule may look; in the orders' own time, never the clock's. */
export const spans = { "1h": HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY } as const
export type Window = keyof typeof spans

export const isWindow = (text: unknown): text is Window => typeof text === "string" && Object.hasOwn(spans, text)

/** Whom a counter is about. */
export type SubjectKind = Extract<Kind, "customer" | "device" | "ip" | "cardFp" | "address">

/**
 * What is counted, for whom. Each event adds 1 to a bucket of its order's own time, so that the counts do not depend on the
 * sequence of the events nor on when they are heard. A counter with a `member` counts its distinct values.
 */
export const counters = {
  orders: { bucketMillis: MINUTE, subjects: ["cardFp"], member: undefined },
  declines: { bucketMillis: MINUTE, subjects: ["cardFp", "device", "ip"], member: undefined },
  cards: { bucketMillis: MINUTE, subjects: ["customer", "device", "ip"], member: "cardFp" },
  customers: { bucketMillis: HOUR, subjects: ["device", "address"], member: "customer" }
} as const satisfies Readonly<
  Record<
    string,
    {
      readonly bucketMillis: number
      readonly subjects: ReadonlyArray<SubjectKind>
      readonly member: SubjectKind | undefined
    }
  >
>
export type CounterKind = keyof typeof counters
export const counterKinds: ReadonlyArray<CounterKind> = ["orders", "declines", "cards", "customers"]

/** The start of the bucket that holds an instant. */
export const bucketOf = (kind: CounterKind, at: number): number => {
  const { bucketMillis } = counters[kind]
  return Math.floor(at / bucketMillis) * bucketMillis
}

/** The buckets of a window that ends at an instant: above `after`, up to and with `upTo`. Later ones never count. */
export const bucketsOf = (kind: CounterKind, window: Window, at: number) => {
  const upTo = bucketOf(kind, at)
  return { after: upTo - spans[window], upTo }
}

/** An identifier of an order, by its keyed hash. */
export interface Identifier {
  readonly kind: SubjectKind
  readonly hash: string
}

export interface Increment {
  readonly counter: CounterKind
  readonly subject: Identifier
  /** Empty where the counter has no members. */
  readonly member: string
}

const oneOf = (kinds: ReadonlyArray<SubjectKind>, identifier: Identifier): boolean => kinds.includes(identifier.kind)

/**
 * What the identifiers `added` to an order that has shown `known` before add to the counters of orders, cards and
 * customers: each pair of subject and member once per order, however often and in whatever sequence they are shown.
 */
export const increments = (
  known: ReadonlyArray<Identifier>,
  added: ReadonlyArray<Identifier>
): ReadonlyArray<Increment> => {
  const all = [...known, ...added]
  const isNew = new Set(added)
  const found: Array<Increment> = []
  for (const counter of counterKinds) {
    if (counter === "declines") continue
    const { member, subjects } = counters[counter]
    for (const subject of all.filter((one) => oneOf(subjects, one))) {
      if (member === undefined) {
        if (isNew.has(subject)) found.push({ counter, subject, member: "" })
        continue
      }
      for (const other of all.filter((one) => one.kind === member)) {
        if (isNew.has(subject) || isNew.has(other)) found.push({ counter, subject, member: other.hash })
      }
    }
  }
  return found
}

/** What a declined payment adds, for an order with these identifiers. */
export const declineIncrements = (identifiers: ReadonlyArray<Identifier>): ReadonlyArray<Increment> =>
  identifiers
    .filter((one) => oneOf(counters.declines.subjects, one))
    .map((subject) => ({ counter: "declines", subject, member: "" }))
