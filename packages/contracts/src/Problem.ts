import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import type * as Schema from "effect/Schema"
import type * as AST from "effect/SchemaAST"

/** How much a failure matters to the business. */
export type Severity = "critical" | "high" | "medium" | "low"

/** What the caller (or the kernel on its behalf) should do about a failure. */
export type Recovery = "retry" | "fallback" | "degrade" | "fail"

/**
 * The public face of an error (RFC 9457): stable code, HTTP status and a sentence that tells the user what to do.
 * `severity` and `recovery` belong to the type, never to the place that fails.
 *
 * @category models
 */
export interface Problem {
  readonly code: string
  readonly status: number
  readonly title: string
  /** What the user can do about it. */
  readonly detail: string
  readonly severity: Severity
  readonly recovery: Recovery
}

const ProblemAnnotation: unique symbol = Symbol.for("@holdfast/contracts/Problem")

const catalogue = new Map<string, Problem>()

/**
 * Annotations that make a `Schema.TaggedError` class public: give them as the third argument of the class. The error's
 * HTTP status follows, and its code enters the {@link all catalogue}; a code stands for one meaning only.
 *
 * @category constructors
 */
export const problem = <A>(definition: Problem): Schema.Annotations.Schema<A> => {
  catalogue.set(definition.code, definition)
  return { ...HttpApiSchema.annotations({ status: definition.status }), [ProblemAnnotation]: definition }
}

interface WithAst {
  readonly ast: AST.AST
}

const hasAst = (value: unknown): value is WithAst => typeof value === "function" && "ast" in value

/**
 * The problem a failure was declared with, or `undefined` for a failure that is not public.
 *
 * @category accessors
 */
export const of = (failure: unknown): Problem | undefined => {
  if (typeof failure !== "object" || failure === null || !hasAst(failure.constructor)) return undefined
  const ast = failure.constructor.ast
  const declaration = ast._tag === "Transformation" ? ast.to : ast
  // Annotations are untyped storage; only `problem` above writes under this symbol.
  return declaration.annotations[ProblemAnnotation] as Problem | undefined
}

/**
 * Every public error of the modules loaded so far, by code: the source of `docs/errors.md`.
 *
 * @category accessors
 */
export const all = (): ReadonlyArray<Problem> => [...catalogue.values()].sort((a, b) => a.code < b.code ? -1 : 1)
