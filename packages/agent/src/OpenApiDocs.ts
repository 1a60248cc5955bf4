import type * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import { CommandPolicy } from "@holdfast/contracts/CommandPolicy"
import type * as Problem from "@holdfast/contracts/Problem"
import * as Context from "effect/Context"
import * as Option from "effect/Option"
import * as AST from "effect/SchemaAST"
import type { Agent } from "./Agent.ts"
import * as Surfaces from "./Surfaces.ts"

/**
 * A JSON Schema inside the document.
 *
 * @category models
 */
export type JsonSchema = Readonly<Record<string, unknown>>

/**
 * A documented operation.
 *
 * @category models
 */
export interface Operation {
  readonly operationId: string
  readonly tags: ReadonlyArray<string>
  readonly summary?: string
  readonly description?: string
  readonly parameters: ReadonlyArray<{
    readonly name: string
    readonly in: string
    readonly required: boolean
    readonly description?: string
    readonly schema: object
  }>
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: object }>> }
  readonly responses: Readonly<Record<string, Response>>
}

/**
 * A documented answer.
 *
 * @category models
 */
export interface Response {
  readonly description: string
  readonly content?: Readonly<Record<string, { readonly schema: object }>>
}

/**
 * An OpenAPI 3.1 document.
 *
 * @category models
 */
export interface Document {
  readonly openapi: "3.1.0"
  readonly info: { readonly title: string; readonly version: string; readonly description: string }
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, object>> }
  readonly tags: ReadonlyArray<{ readonly name: string; readonly description: string }>
}

const PROBLEM_ANNOTATION = Symbol.for("@holdfast/contracts/Problem")

/** The public errors in a union of error schemas. */
const problemsOf = (ast: AST.AST): ReadonlyArray<Problem.Problem> => {
  if (AST.isUnion(ast)) return ast.types.flatMap(problemsOf)
  const declaration = AST.isTransformation(ast) ? ast.to : ast
  // Only `Problem.problem` writes under this symbol.
  const problem = declaration.annotations[PROBLEM_ANNOTATION] as Problem.Problem | undefined
  return problem === undefined ? [] : [problem]
}

const problemSchema = {
  type: "object",
  description: "Problem details (RFC 9457); an error's own fields stand beside these.",
  required: [
    "type",
    "title",
    "status",
    "detail",
    "code",
    "severity",
    "recovery",
    "retryable",
    "correlationId",
    "degradationLevel"
  ],
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string", description: "What to do about it." },
    code: { type: "string", description: "Stable name of the error." },
    severity: { type: "string", enum: ["critical", "high", "medium", "low"] },
    recovery: { type: "string", enum: ["retry", "fallback", "degrade", "fail"] },
    retryable: { type: "boolean" },
    correlationId: { type: "string" },
    degradationLevel: { type: "integer", minimum: 0, maximum: 4 }
  }
}

const errorResponses = (problems: ReadonlyArray<Problem.Problem>) => {
  const statuses = [...new Set(problems.map((problem) => problem.status))].sort((a, b) => a - b)
  return Object.fromEntries(statuses.map((status) => {
    const group = problems.filter((problem) => problem.status === status)
    const codes = [...new Map(group.map((problem) => [problem.code, problem])).values()]
    return [String(status), {
      description: codes.map((problem) => `\`${problem.code}\`: ${problem.title}. ${problem.detail}`).join("\n\n"),
      content: {
        "application/problem+json": {
          schema: {
            allOf: [
              { $ref: "#/components/schemas/Problem" },
              { type: "object", properties: { code: { enum: codes.map((problem) => problem.code) } } }
            ]
          }
        }
      }
    }]
  }))
}

const header = (name: string, required: boolean, description: string, schema: object) => ({
  name,
  in: "header",
  required,
  description,
  schema
})

/** The headers by which a command is steered. */
const commandParameters = (endpoint: HttpApiEndpoint.HttpApiEndpoint.AnyWithProps) =>
  Option.match(Context.getOption(endpoint.annotations, CommandPolicy), {
    onNone: () => [],
    onSome: (policy) => [
      header(
        "Idempotency-Key",
        policy.idempotencyKey === "required",
        "Names this request for good: sent again under the same key, it is answered with the first answer and " +
          "`Idempotent-Replayed: true`.",
        { type: "string", minLength: 1, maxLength: 255 }
      ),
      ...(policy.ifMatch === "required"
        ? [header("If-Match", true, "The ETag of the resource as you read it, e.g. `\"3\"`.", { type: "string" })]
        : [])
    ]
  })

/**
 * The document of some agents' APIs, each under its prefix. Loads the generator when called.
 *
 * @category constructors
 */
export const make = async (agents: ReadonlyArray<Agent>, version: string): Promise<Document> => {
  const [Api, Generator] = await Promise.all([import("@effect/platform/HttpApi"), import("@effect/platform/OpenApi")])
  const paths: Record<string, Record<string, Operation>> = {}
  const schemas: Record<string, object> = { Problem: problemSchema }
  for (const agent of agents) {
    for (const { api } of Surfaces.of(agent)) {
      if (!Surfaces.isTyped(api)) continue
      const generated = Generator.fromApi(Api.make(agent.name).add(api))
      Object.assign(schemas, generated.components.schemas)
      for (const endpoint of Surfaces.endpoints(api)) {
        const relative = endpoint.path.replaceAll(/:(\w+)/g, "{$1}")
        const method = endpoint.method.toLowerCase()
        const item = Object.entries(generated.paths[relative] ?? {}).find(([name]) => name === method)?.[1]
        if (item === undefined) continue
        const path = `/${agent.name}${relative === "/" ? "" : relative}`
        paths[path] = {
          ...paths[path],
          [method]: {
            operationId: `${agent.name}.${endpoint.name}`,
            tags: [agent.name],
            ...(item.summary === undefined ? {} : { summary: item.summary }),
            ...(item.description === undefined ? {} : { description: item.description }),
            parameters: [...item.parameters, ...commandParameters(endpoint)],
            ...(item.requestBody === undefined ? {} : { requestBody: item.requestBody }),
            responses: {
              ...Object.fromEntries(Object.entries(item.responses).filter(([status]) => Number(status) < 400)),
              ...errorResponses([...problemsOf(endpoint.errorSchema.ast), ...problemsOf(api.errorSchema.ast)])
            }
          }
        }
      }
    }
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Holdfast",
      version,
      description: "Answers carry `X-Degradation-Level`, `X-Correlation-Id` and, where they have a version, `ETag`."
    },
    paths,
    components: { schemas },
    tags: agents.map((agent) => ({ name: agent.name, description: agent.title }))
  }
}
