import type { Envelope } from "@holdfast/contracts/Envelope"
import type { DatabaseShape } from "@holdfast/database/Database"
import type { Dependency } from "@holdfast/resilience/Dependency"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { DependencyAway } from "./DeliveryError.ts"

/**
 * An agent on the bus: its committed messages (`database.outbox`) reach others, and others' reach `deliver`.
 *
 * @category models
 */
export interface Member {
  readonly database: DatabaseShape
  /** What it wants to hear. */
  readonly topics: ReadonlyArray<string>
  /**
   * Settles every message of the batch, in order per source, topic and key: handled, parked or dead-lettered, durably.
   * May see a message again and must then do nothing. Fails only when a dependency is away: the bus pauses and delivers
   * the same messages again, for ever.
   */
  readonly deliver: (batch: ReadonlyArray<Envelope>) => Effect.Effect<void, DependencyAway>
}

/**
 * How far one agent has heard one source, for health and metrics.
 *
 * @category models
 */
export interface Lane {
  /** The agent that hears. */
  readonly consumer: string
  /** Where the messages come from: an agent's name, or a partition of a broker. */
  readonly source: string
  /** All of the source's messages up to this one are settled; of a partition: all in front of this one. */
  readonly position: number
  /** Messages behind the position, those of other topics included; undefined until it is known how far it has heard. */
  readonly lag: number | undefined
  /** A dependency is away: deliveries are tried again with growing pauses. */
  readonly paused: boolean
  /** Why the last delivery failed, until one succeeds. */
  readonly lastError: string | undefined
}

/**
 * How far an agent's messages have come on their way to a broker.
 *
 * @category models
 */
export interface Publishing {
  readonly agent: string
  /** The broker has acknowledged all messages up to this one; `undefined` until this process has published one. */
  readonly position: number | undefined
  /** Committed messages that are not acknowledged, as far as this process knows. */
  readonly pending: number
  /** When the oldest message was said that the broker is offered and has not acknowledged, in milliseconds. */
  readonly oldestAt: number | undefined
  /** Why the broker has not taken the last batch, until it takes one. */
  readonly lastError: string | undefined
}

/**
 * What reaches an agent on the bus and what leaves it, whatever the state of its own store.
 *
 * @category models
 */
export interface Standing {
  /** Messages of others come to it; always so for an agent that wants none while there is somebody to hear. */
  readonly isHearing: boolean
  /** Its committed messages are taken. */
  readonly isSending: boolean
}

/**
 * Carries committed messages between agents: at least once, in order per source, topic and key, nothing skipped. An agent
 * that is not there finds its messages when it comes.
 *
 * @category models
 */
export interface EventBusShape {
  /** Takes part until the scope closes. Never fails and does not wait for a broker. */
  readonly join: (member: Member) => Effect.Effect<void, never, Scope.Scope>
  /** All lanes of this process, as of now. */
  readonly lanes: () => ReadonlyArray<Lane>
  /** The way of each agent of this process to the broker; empty without one. */
  readonly publishing: () => ReadonlyArray<Publishing>
  /** How it is with an agent; undefined before it has joined. */
  readonly standing: (agent: string) => Standing | undefined
  /**
   * The broker, watched: `up` only while messages can be published and every member's consumer lives. One that has never
   * joined its group is given some time to. None without a broker.
   */
  readonly broker: Dependency | undefined
}

/**
 * The bus of this process.
 *
 * @category services
 */
export class EventBus extends Context.Tag("@holdfast/messaging/EventBus")<EventBus, EventBusShape>() {}
