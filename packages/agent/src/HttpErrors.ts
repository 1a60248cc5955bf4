import { problem } from "@holdfast/contracts/Problem"
import * as Schema from "effect/Schema"

/**
 * The agent has not finished opening its store.
 *
 * @category errors
 */
export class Starting extends Schema.TaggedError<Starting>()(
  "Starting",
  {},
  problem({
    code: "starting",
    status: 503,
    title: "The agent is starting",
    detail: "Nothing was stored. Repeat the request when Retry-After has passed; /health/ready tells when it is ready.",
    severity: "low",
    recovery: "retry"
  })
) {}

/**
 * The request breaks a rule of the agent's tables that its handler did not foresee.
 *
 * @category errors
 */
export class RuleViolated extends Schema.TaggedError<RuleViolated>()(
  "RuleViolated",
  { rule: Schema.Literal("unique", "check", "not_null", "foreign_key") },
  problem({
    code: "rule_violated",
    status: 409,
    title: "The request contradicts what is stored",
    detail: "Nothing was stored. Read the resource again; it exists already, or its state does not allow the request.",
    severity: "medium",
    recovery: "fail"
  })
) {}

/**
 * What the request would tell others does not fit into one message.
 *
 * @category errors
 */
export class MessageTooLarge extends Schema.TaggedError<MessageTooLarge>()(
  "MessageTooLarge",
  { event: Schema.String, bytes: Schema.Number, limitBytes: Schema.Number },
  problem({
    code: "message_too_large",
    status: 422,
    title: "The result is larger than a message may be",
    detail:
      "Nothing was stored. What others are told of it, all its parts and what was stored of it before included, has " +
      "bytes bytes, and limitBytes at most can be sent. Send fewer or smaller parts (variants, prices, lines, texts), or " +
      "make several things of it.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The request line or a header is larger than a server takes.
 *
 * @category errors
 */
export class HeadersTooLarge extends Schema.TaggedError<HeadersTooLarge>()(
  "HeadersTooLarge",
  {},
  problem({
    code: "headers_too_large",
    status: 431,
    title: "The request's headers are too large",
    detail: "Send at most 16 KiB of request line and headers together.",
    severity: "low",
    recovery: "fail"
  })
) {}

/**
 * The request did not arrive completely in time.
 *
 * @category errors
 */
export class RequestTimeout extends Schema.TaggedError<RequestTimeout>()(
  "RequestTimeout",
  {},
  problem({
    code: "request_timeout",
    status: 408,
    title: "The request did not arrive in time",
    detail:
      "Nothing was carried out. Send the whole request within the time that it may take: 5 seconds, unless the operator " +
      "or its X-Request-Deadline says otherwise.",
    severity: "low",
    recovery: "retry"
  })
) {}
