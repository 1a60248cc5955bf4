import type * as Runtime from "effect/Runtime"
import * as Router from "find-my-way-ts"
import type { IncomingHttpHeaders } from "node:http"
import type { Endpoint } from "./Endpoint.ts"
import type { AnyService } from "./Handler.ts"
import type { HttpAnswer } from "./HttpAnswer.ts"
import * as HttpMetrics from "./HttpMetrics.ts"

/**
 * The agent behind an endpoint, as the server sees it from moment to moment.
 *
 * @category models
 */
export interface Host {
  readonly level: () => number
  readonly levelSince: () => number
  /** Undefined while the agent has not opened its store. It holds whatever the agent's handlers need. */
  readonly runtime: () => Runtime.Runtime<AnyService> | undefined
}

/**
 * What a page of the kernel (a probe, the metrics, the documentation) is asked with.
 *
 * @category models
 */
export interface PageRequest {
  readonly headers: IncomingHttpHeaders
  readonly search: Readonly<Record<string, string | Array<string>>>
}

/**
 * What answers a request: an agent's endpoint, or a page of the kernel, which needs no admission and no fiber.
 *
 * @category models
 */
export type HttpRoute =
  | {
    readonly _tag: "Endpoint"
    readonly endpoint: Endpoint
    readonly host: Host
    readonly metric: HttpMetrics.RouteMetric
  }
  | {
    readonly _tag: "Page"
    readonly level: () => number
    readonly answer: (request: PageRequest) => HttpAnswer | Promise<HttpAnswer>
    readonly metric: HttpMetrics.RouteMetric
  }

/**
 * All routes of a server.
 *
 * @category models
 */
export interface Routes {
  readonly router: Router.Router<HttpRoute>
  readonly metrics: ReadonlyArray<HttpMetrics.RouteMetric>
  /** The methods of a path, for `Allow`; empty when there is no such path. */
  readonly methodsOf: (url: string) => ReadonlyArray<string>
}

/** Describes a route before it is mounted. */
export type Mount =
  | { readonly _tag: "Endpoint"; readonly endpoint: Endpoint; readonly host: Host }
  | {
    readonly _tag: "Page"
    readonly path: `/${string}`
    readonly level: () => number
    readonly answer: (request: PageRequest) => HttpAnswer | Promise<HttpAnswer>
  }

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const

/**
 * Mounts routes; a GET is also served as HEAD.
 *
 * @category constructors
 */
export const make = (mounts: ReadonlyArray<Mount>): Routes => {
  // Slashes in a query string are its own: the router must not fold them.
  const router = Router.make<HttpRoute>({ caseSensitive: true, ignoreDuplicateSlashes: false, maxParamLength: 512 })
  const metrics: Array<HttpMetrics.RouteMetric> = []
  for (const mount of mounts) {
    const method = mount._tag === "Endpoint" ? mount.endpoint.method : "GET"
    const path = mount._tag === "Endpoint" ? mount.endpoint.path : mount.path
    const metric = HttpMetrics.routeMetric(method, path)
    metrics.push(metric)
    router.on(method, path, { ...mount, metric })
  }
  return {
    router,
    metrics,
    methodsOf: (url) =>
      METHODS.flatMap((method) => {
        if (router.find(method, url) === undefined) return []
        return method === "GET" ? ["GET", "HEAD"] : [method]
      })
  }
}
