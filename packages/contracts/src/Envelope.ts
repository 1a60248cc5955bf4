/**
 * A message on its way: CloudEvents 1.0 context attributes (spec §19.1) and data. `source` + `id` identify it for good: a
 * re-send keeps both, so that a consumer recognises it.
 *
 * @category models
 */
export interface Envelope {
  readonly id: string
  /** `urn:ecom:agent:<agent>`, not per instance. */
  readonly source: string
  /** e.g. `ecom.order.placed.v1`. */
  readonly type: string
  readonly topic: string
  /** Order holds within a key. */
  readonly key: string
  readonly subject: string
  /** When it happened, RFC 3339 UTC with milliseconds. */
  readonly time: string
  /** Saga or request id. */
  readonly correlationId: string
  /** Id of the message or request that caused this one. */
  readonly causationId: string
  /** The W3C trace context of what began it all, handed on from cause to effect. */
  readonly traceparent?: string
  /** A command that has not been begun by then (milliseconds since the epoch) is not wanted any more. */
  readonly deadline?: number
  /** Where a broker keeps it: `<partition>:<offset>` of its topic. */
  readonly position?: string
  /** The encoded payload: plain JSON. */
  readonly data: unknown
}

/** The CloudEvents source of an agent. */
export const sourceOf = (agent: string): string => `urn:ecom:agent:${agent}`
