import type * as Message from "@holdfast/contracts/Message"
import type { SagaState } from "@holdfast/database/SystemTables"

/**
 * A command a saga sends.
 *
 * @category models
 */
export interface Request {
  // The payload is checked where the request is made, by `request`.
  readonly message: Message.Any
  readonly payload: unknown
}

/** A request with its payload checked against the command's type. */
export const request = <Name extends string, A, I>(message: Message.Message<Name, A, I>, payload: A): Request => ({
  message,
  payload
})

/**
 * What an answer, a missed deadline or the outside makes of a saga. `actions` are the owner's own changes, as data; the
 * owner carries them out in the same transaction.
 *
 * @category models
 */
export type Transition<Data, Action> =
  | { readonly _tag: "Next"; readonly step: string; readonly data: Data; readonly actions: ReadonlyArray<Action> }
  | { readonly _tag: "Stay"; readonly data: Data; readonly actions: ReadonlyArray<Action> }
  | { readonly _tag: "Fail"; readonly reason: string; readonly data: Data; readonly actions: ReadonlyArray<Action> }
  | { readonly _tag: "Done"; readonly data: Data; readonly actions: ReadonlyArray<Action> }
  | { readonly _tag: "Park"; readonly reason: string; readonly data: Data }

/** On to another step. */
export const next = <Data, Action>(
  step: string,
  data: Data,
  ...actions: ReadonlyArray<Action>
): Transition<Data, Action> => ({ _tag: "Next", step, data, actions })

/** The step goes on waiting; its deadline starts anew. */
export const stay = <Data, Action>(data: Data, ...actions: ReadonlyArray<Action>): Transition<Data, Action> => ({
  _tag: "Stay",
  data,
  actions
})

/** Gives up: what was done is undone in reverse order. */
export const fail = <Data, Action>(
  reason: string,
  data: Data,
  ...actions: ReadonlyArray<Action>
): Transition<Data, Action> => ({ _tag: "Fail", reason, data, actions })

/** The saga has reached its end. */
export const done = <Data, Action>(data: Data, ...actions: ReadonlyArray<Action>): Transition<Data, Action> => ({
  _tag: "Done",
  data,
  actions
})

/** A person must decide. */
export const park = <Data, Action>(reason: string, data: Data): Transition<Data, Action> => ({
  _tag: "Park",
  reason,
  data
})

/**
 * What a message means to a step: a transition, or `undefined` when it is not about this step (another payment, an answer
 * that came twice).
 *
 * @category models
 */
export interface Answer<Data, Result> {
  readonly message: Message.Any
  readonly read: (data: Data, payload: unknown) => Result | undefined
}

/** Declares an answer; the payload has the message's type. */
export const on = <Name extends string, A, I, Data, Result>(
  message: Message.Message<Name, A, I>,
  read: (data: Data, payload: A) => Result | undefined
): Answer<Data, Result> => ({
  message,
  // The consumer has decoded the payload by the message's own schema before it comes here.
  read: (data, payload) => read(data, payload as A)
})

/**
 * One step: what it asks, what answers it, how long it waits and how it is undone.
 *
 * @category models
 */
export interface Step<Data, Action> {
  /** The commands that the step sends when it is entered; re-sent under the same ids when no answer comes. */
  readonly requests?: (data: Data) => ReadonlyArray<Request>
  readonly answers: ReadonlyArray<Answer<Data, Transition<Data, Action>>>
  /** How long to wait for the answer, from the moment `now`, in milliseconds. */
  readonly waitMillis: (data: Data, now: number) => number
  /** What a missed deadline means, where it is more than "ask again"; `misses` counts from 1. */
  readonly onMiss?: (data: Data, misses: number) => Transition<Data, Action> | undefined
  /** What another agent's HTTP face can tell when a second deadline has passed without its message. */
  readonly query?: {
    readonly agent: string
    readonly path: (data: Data) => string
    /** `body` is `undefined` when the other agent does not know the thing. */
    readonly read: (data: Data, body: unknown) => Transition<Data, Action> | undefined
  }
  /** After three misses: undo everything, ask a person, or ask again for ever. */
  readonly exhausted: "compensate" | "park" | "repeat"
  readonly undo?: {
    readonly requests: (data: Data) => ReadonlyArray<Request>
    /** `true` when the answer says that the step's effect is gone. */
    readonly answers: ReadonlyArray<Answer<Data, boolean>>
  }
}

/**
 * A saga as data (spec §18). `late` names what to undo when an answer arrives after the saga gave up.
 *
 * @category models
 */
export interface Definition<Data, Action> {
  readonly type: string
  readonly version: number
  readonly first: string
  readonly steps: Readonly<Record<string, Step<Data, Action>>>
  /** Heard in every step while the saga runs, after the step's own answers. */
  readonly always: ReadonlyArray<Answer<Data, Transition<Data, Action>>>
  readonly late: ReadonlyArray<Answer<Data, ReadonlyArray<Request>>>
  /** The owner's changes once everything is undone. */
  readonly compensated: (data: Data, reason: string) => ReadonlyArray<Action>
}

/**
 * Where a saga stands. `undoing` lists the steps still to be undone, first one at work; `rounds` counts how often each
 * step was entered, so that its requests have ids of their own.
 *
 * @category models
 */
export interface Instance<Data> {
  readonly state: SagaState
  readonly step: string
  readonly data: Data
  readonly entered: ReadonlyArray<string>
  readonly rounds: Readonly<Record<string, number>>
  readonly undoing: ReadonlyArray<string>
  readonly reason: string | null
  readonly misses: number
  /** Milliseconds since the epoch; `null` once ended or parked. */
  readonly deadlineAt: number | null
}

/**
 * What follows from one input: the new instance, commands to send under ids that stay the same when re-sent, and the
 * owner's changes.
 *
 * @category models
 */
export interface Advance<Data, Action> {
  readonly instance: Instance<Data>
  readonly requests: ReadonlyArray<{ readonly id: string; readonly request: Request }>
  readonly actions: ReadonlyArray<Action>
}

/** Wait for the answer to an undo before it is asked again. */
const UNDO_WAIT_MILLIS = 10_000

/** Misses after which a person is asked. */
const MAX_MISSES = 3

const stepOf = <Data, Action>(definition: Definition<Data, Action>, name: string): Step<Data, Action> => {
  const step = definition.steps[name]
  if (step === undefined) throw new TypeError(`saga ${definition.type} has no step ${name}`)
  return step
}

const numbered = (prefix: string, requests: ReadonlyArray<Request>) =>
  requests.map((one, index) => ({ id: index === 0 ? prefix : `${prefix}.${index}`, request: one }))

/** The requests of the step at work, under the ids that they have had since it was entered. */
const currentRequests = <Data, Action>(definition: Definition<Data, Action>, instance: Instance<Data>) => {
  const undone = instance.undoing[0]
  if (undone !== undefined) {
    return numbered(`undo.${undone}`, stepOf(definition, undone).undo?.requests(instance.data) ?? [])
  }
  const requests = stepOf(definition, instance.step).requests?.(instance.data) ?? []
  return numbered(`${instance.step}.${instance.rounds[instance.step] ?? 1}`, requests)
}

const enter = <Data, Action>(
  definition: Definition<Data, Action>,
  instance: Instance<Data>,
  name: string,
  data: Data,
  actions: ReadonlyArray<Action>,
  now: number
): Advance<Data, Action> => {
  const entered: Instance<Data> = {
    ...instance,
    state: "running",
    step: name,
    data,
    entered: instance.entered.includes(name) ? instance.entered : [...instance.entered, name],
    rounds: { ...instance.rounds, [name]: (instance.rounds[name] ?? 0) + 1 },
    reason: null,
    misses: 0,
    deadlineAt: now + stepOf(definition, name).waitMillis(data, now)
  }
  return { instance: entered, requests: currentRequests(definition, entered), actions }
}

/** Undoes the first of `undoing`, or ends when nothing is left. */
const undoNext = <Data, Action>(
  definition: Definition<Data, Action>,
  instance: Instance<Data>,
  actions: ReadonlyArray<Action>,
  now: number
): Advance<Data, Action> => {
  if (instance.undoing.length === 0) {
    return {
      instance: { ...instance, state: "compensated", misses: 0, deadlineAt: null },
      requests: [],
      actions: [...actions, ...definition.compensated(instance.data, instance.reason ?? "unknown")]
    }
  }
  const undoing: Instance<Data> = {
    ...instance,
    state: "compensating",
    misses: 0,
    deadlineAt: now + UNDO_WAIT_MILLIS
  }
  return { instance: undoing, requests: currentRequests(definition, undoing), actions }
}

const apply = <Data, Action>(
  definition: Definition<Data, Action>,
  instance: Instance<Data>,
  transition: Transition<Data, Action>,
  now: number
): Advance<Data, Action> => {
  switch (transition._tag) {
    case "Next":
      return enter(definition, instance, transition.step, transition.data, transition.actions, now)
    case "Stay":
      return {
        instance: {
          ...instance,
          state: "running",
          data: transition.data,
          reason: null,
          misses: 0,
          deadlineAt: now + stepOf(definition, instance.step).waitMillis(transition.data, now)
        },
        requests: [],
        actions: transition.actions
      }
    case "Fail": {
      const undoing = instance.entered.filter((name) => stepOf(definition, name).undo !== undefined).reverse()
      return undoNext(
        definition,
        { ...instance, data: transition.data, undoing, reason: transition.reason },
        transition.actions,
        now
      )
    }
    case "Done":
      return {
        instance: { ...instance, state: "done", data: transition.data, reason: null, misses: 0, deadlineAt: null },
        requests: [],
        actions: transition.actions
      }
    case "Park":
      return {
        instance: {
          ...instance,
          state: "needs_operator",
          data: transition.data,
          // What is being undone keeps the reason why.
          reason: instance.undoing.length > 0 ? instance.reason : transition.reason,
          deadlineAt: null
        },
        requests: [],
        actions: []
      }
  }
}

/** Whether nothing more will happen unless a late answer comes. */
export const isEnded = (state: SagaState): boolean => state === "done" || state === "compensated"

/** A new saga enters its first step. */
export const start = <Data, Action>(
  definition: Definition<Data, Action>,
  data: Data,
  now: number
): Advance<Data, Action> =>
  enter(
    definition,
    {
      state: "running",
      step: definition.first,
      data,
      entered: [],
      rounds: {},
      undoing: [],
      reason: null,
      misses: 0,
      deadlineAt: null
    },
    definition.first,
    data,
    [],
    now
  )

const firstAnswer = <Data, Result>(
  answers: ReadonlyArray<Answer<Data, Result>>,
  data: Data,
  message: Message.Any,
  payload: unknown
): Result | undefined => {
  for (const answer of answers) {
    const result = answer.message.name === message.name ? answer.read(data, payload) : undefined
    if (result !== undefined) return result
  }
  return undefined
}

/**
 * A message for the saga. `undefined` when it changes nothing: not about this step, or known already. A saga that waits
 * for a person takes an answer that still comes.
 */
export const receive = <Data, Action>(
  definition: Definition<Data, Action>,
  instance: Instance<Data>,
  message: Message.Any,
  payload: unknown,
  now: number
): Advance<Data, Action> | undefined => {
  const undone = instance.undoing[0]
  if (isEnded(instance.state) || undone !== undefined) {
    if (undone !== undefined) {
      const answers = stepOf(definition, undone).undo?.answers ?? []
      if (firstAnswer(answers, instance.data, message, payload) === true) {
        return undoNext(definition, { ...instance, undoing: instance.undoing.slice(1) }, [], now)
      }
    }
    // The answer to a step that may be undone already, also while others still are.
    const late = instance.state === "done" ? undefined : firstAnswer(definition.late, instance.data, message, payload)
    if (late === undefined || late.length === 0) return undefined
    const round = (instance.rounds["late"] ?? 0) + 1
    return {
      instance: { ...instance, rounds: { ...instance.rounds, late: round } },
      requests: numbered(`late.${round}`, late),
      actions: []
    }
  }
  const transition = firstAnswer(stepOf(definition, instance.step).answers, instance.data, message, payload) ??
    firstAnswer(definition.always, instance.data, message, payload)
  return transition === undefined ? undefined : apply(definition, instance, transition, now)
}

/** The deadline has passed without an answer: ask again, then as the step says (spec §18.1). */
export const miss = <Data, Action>(
  definition: Definition<Data, Action>,
  instance: Instance<Data>,
  now: number
): Advance<Data, Action> => {
  const misses = instance.misses + 1
  const undone = instance.undoing[0]
  const step = stepOf(definition, undone ?? instance.step)
  if (undone === undefined) {
    const own = step.onMiss?.(instance.data, misses)
    if (own !== undefined) return apply(definition, instance, own, now)
  }
  if (misses >= MAX_MISSES && step.exhausted !== "repeat") {
    const reason = `${undone === undefined ? "" : "undo_"}${undone ?? instance.step}_timeout`
    return undone === undefined && step.exhausted === "compensate"
      ? apply(definition, instance, fail(reason, instance.data), now)
      : apply(definition, instance, park(reason, instance.data), now)
  }
  const wait = undone === undefined ? step.waitMillis(instance.data, now) : UNDO_WAIT_MILLIS
  const waiting = { ...instance, misses, deadlineAt: now + wait }
  return { instance: waiting, requests: currentRequests(definition, waiting), actions: [] }
}

/** An operator, or the deadline's second chance, asks the step's requests again; a parked saga runs on. */
export const retry = <Data, Action>(
  definition: Definition<Data, Action>,
  instance: Instance<Data>,
  now: number
): Advance<Data, Action> => {
  if (instance.undoing.length > 0) return undoNext(definition, instance, [], now)
  const running: Instance<Data> = {
    ...instance,
    state: "running",
    misses: 0,
    deadlineAt: now + stepOf(definition, instance.step).waitMillis(instance.data, now)
  }
  return { instance: running, requests: currentRequests(definition, running), actions: [] }
}

/** The owner or an operator moves the saga: a cancellation, a new payment. Nothing happens once it has ended. */
export const move = <Data, Action>(
  definition: Definition<Data, Action>,
  instance: Instance<Data>,
  transition: Transition<Data, Action>,
  now: number
): Advance<Data, Action> | undefined =>
  isEnded(instance.state) || instance.undoing.length > 0 ? undefined : apply(definition, instance, transition, now)

/**
 * The question to ask before the next miss counts: the second one, and in a step that is asked for ever every one after it,
 * since an answer that was lost never comes again.
 */
export const pendingQuery = <Data, Action>(
  definition: Definition<Data, Action>,
  instance: Instance<Data>
): Step<Data, Action>["query"] => {
  if (instance.undoing.length > 0 || instance.misses === 0) return undefined
  const step = stepOf(definition, instance.step)
  return instance.misses === 1 || step.exhausted === "repeat" ? step.query : undefined
}

/** Every message that the definition listens to. */
export const messages = <Data, Action>(definition: Definition<Data, Action>): ReadonlyArray<Message.Any> => {
  const steps = Object.values(definition.steps)
  const heard = [
    ...steps.flatMap((step) => [...step.answers, ...(step.undo?.answers ?? [])]),
    ...definition.always,
    ...definition.late
  ]
  return [...new Map(heard.map(({ message }) => [message.name, message])).values()]
}
