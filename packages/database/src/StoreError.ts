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
 * The store cannot be written or read now: disk full, file locked, connection lost before anything was sent. Nothing of
 * the operation took effect.
 *
 * @category errors
 */
export class StoreUnavailable extends Schema.TaggedError<StoreUnavailable>()("StoreUnavailable", {
  reason: Schema.Literal("full", "locked", "lost", "closed", "corrupt", "other"),
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {}

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

/** What a read can meet. */
export type ReadError = StoreUnavailable

/** What a write inside an operation can meet. */
export type WriteError = StoreUnavailable | ConstraintViolated | RowMissing

/** What running an operation can meet besides its own errors. */
export type ExecuteError = StoreUnavailable | OutcomeUnknown | OperationIdReused
