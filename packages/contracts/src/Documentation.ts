import type * as OpenApi from "@effect/platform/OpenApi"
import * as Context from "effect/Context"

/**
 * The one line that says what an endpoint does, for /docs. The tag is that of `@effect/platform/OpenApi`, by its key: the
 * module itself loads the generator, which a start does not need.
 *
 * @category annotations
 */
export const Summary = Context.GenericTag<OpenApi.Summary, string>("@effect/platform/OpenApi/Summary")

/**
 * What the summary leaves open: conditions, effects, what to do next.
 *
 * @category annotations
 */
export const Description = Context.GenericTag<OpenApi.Description, string>("@effect/platform/OpenApi/Description")
