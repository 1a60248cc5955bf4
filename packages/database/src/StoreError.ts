import * as Schema from "effect/Schema"

/**
 * A row breaks a constraint of its table: the operation is refused, its neighbours in the same transaction are not.
 *
 * @category errors
 */
export class ConstraintViolated extends Schema.TaggedError<ConstraintViolated>()("ConstraintViolated", {
  kind: Schema.Literal("unique", "check", "not_null", "foreign_key"),
  table: Schema.String,
  detail: Schema.String
}) {}

/**
 * A message would be larger than a broker takes as it comes out of its box, and would stop all that come after it: the
 * operation is refused, whether there is a broker or not.
 *
 * @category errors
 */
export class MessageTooLarge extends Schema.TaggedError<MessageTooLarge>()("MessageTooLarge", {
  type: Schema.String,
  bytes: Schema.Number,
  limitBytes: Schema.Number
}) {
  override get message(): string {
    return `${this.type} has ${this.bytes} bytes, ${this.limitBytes} at most can be sent`
  }
}

/**
 * The store cannot be written or read now: disk full, file locked, connection lost before anything was sent. Nothing of
 * the operation took effect.
 *
 * @category errors
 */
export class StoreUnavailable extends Schema.TaggedError<StoreUnavailable>()("StoreUnavailable", {
  reason: Schema.Literal("full", "locked", "lost", "closed", "corrupt", "other"),
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * The answer to COMMIT was lost: the operation may have taken effect or not. Run the same operation again; its id tells.
 *
 * @category errors
 */
export class OutcomeUnknown extends Schema.TaggedError<OutcomeUnknown>()("OutcomeUnknown", {
  operationId: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {}

/**
 * An id was used before for another request (another fingerprint).
 *
 * @category errors
 */
export class OperationIdReused extends Schema.TaggedError<OperationIdReused>()("OperationIdReused", {
  operationId: Schema.String
}) {}

/** `update` or `remove` of a row that does not exist. */
export class RowMissing extends Schema.TaggedError<RowMissing>()("RowMissing", {
  table: Schema.String,
  key: Schema.String
}) {}

/**
 * The primary is away, and the operation's write class does not allow it to run without: nothing took effect. A
 * `provisional` one may be kept as an intent.
 *
 * @category errors
 */
export class WriteRefused extends Schema.TaggedError<WriteRefused>()("WriteRefused", {
  operationId: Schema.String,
  writeClass: Schema.Literal("mergeable", "bounded", "provisional", "refused")
}) {}

/** The primary is not in use now: wait until it is. */
export class PrimaryAway extends Schema.TaggedError<PrimaryAway>()("PrimaryAway", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/** No operation of that id waits for a decision. */
export class NothingWithheld extends Schema.TaggedError<NothingWithheld>()("NothingWithheld", {
  operationId: Schema.String
}) {}

/** The changes of a withheld operation cannot be applied: `detail` says what they break, or what comes first. */
export class SettleRefused extends Schema.TaggedError<SettleRefused>()("SettleRefused", {
  operationId: Schema.String,
  detail: Schema.String
}) {}

/** What a read can meet. */
export type ReadError = StoreUnavailable

/** What a write inside an operation can meet. */
export type WriteError = StoreUnavailable | ConstraintViolated | MessageTooLarge | RowMissing

/** What running an operation can meet besides its own errors. */
export type ExecuteError = StoreUnavailable | OutcomeUnknown | OperationIdReused | WriteRefused
