import * as Duration from "effect/Duration"

/**
 * A topic as it is to exist (spec §19.2). The number of partitions never changes: order per key would break.
 *
 * @category models
 */
export interface Topic {
  readonly name: string
  readonly partitions: number
  readonly cleanup: "delete" | "compact"
  /** How long messages are kept; a compacted topic keeps the last one of each key for ever. */
  readonly retentionMillis: number | undefined
}

const deleting = (name: string, partitions: number, retention: Duration.DurationInput): Topic => ({
  name,
  partitions,
  cleanup: "delete",
  retentionMillis: Duration.toMillis(retention)
})

/** Dead letters of a consumer. */
export const deadLetters = (agent: string): string => `ecom.${agent}.dlq.v1`

/** Whether dead letters lie there. */
export const isDeadLetters = (topic: string): boolean => /^ecom\..+\.dlq\.v1$/.test(topic)

const system = deleting("ecom.system.events.v1", 3, "7 days")

const compacted: ReadonlyArray<readonly [agent: string, name: string]> = [
  ["product", "ecom.product.state.v1"],
  ["inventory", "ecom.inventory.stock.v1"],
  ["customer", "ecom.customer.state.v1"]
]

/**
 * Every topic that these agents use, each once.
 *
 * @category constructors
 */
export const declared = (agents: ReadonlyArray<string>): ReadonlyArray<Topic> => [
  ...agents.flatMap((agent) => [
    deleting(`ecom.${agent}.events.v1`, 6, "14 days"),
    deleting(`ecom.${agent}.commands.v1`, 6, "3 days"),
    deleting(deadLetters(agent), 3, "30 days")
  ]),
  ...compacted.filter(([agent]) => agents.includes(agent)).map(([, name]): Topic => ({
    name,
    partitions: 6,
    cleanup: "compact",
    retentionMillis: undefined
  })),
  system
]

/**
 * The topic of this name as it is declared.
 *
 * @category queries
 */
export const find = (name: string): Topic | undefined => {
  const [, agent = ""] = /^ecom\.([a-z0-9-]+)\.[a-z]+\.v1$/.exec(name) ?? []
  // `system` is no agent, and has no topics but this one.
  return agent === "system"
    ? [system].find((topic) => topic.name === name)
    : declared([agent]).find((topic) => topic.name === name)
}

/**
 * The agent whose events lie there; of commands nobody can say who sends them, and of the system everybody does.
 *
 * @category queries
 */
export const producer = (topic: string): string | undefined => {
  const [, agent] = /^ecom\.([a-z0-9-]+)\.events\.v1$/.exec(topic) ?? []
  return agent === "system" ? undefined : agent
}
