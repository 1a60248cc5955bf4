import type * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import type * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import type { Agent, Surface } from "./Agent.ts"
import type { AnyService } from "./Handler.ts"
import * as KernelApi from "./KernelApi.ts"

/** All that an agent serves: its own API, its parts', the kernel's. */
export const of = (agent: Agent): ReadonlyArray<Surface<AnyService>> => [
  agent.surface,
  ...agent.parts.flatMap((part) => part.surfaces),
  KernelApi.surface
]

/** The group with its properties, which its `Any` form hides from the types. */
export const isTyped = (api: HttpApiGroup.HttpApiGroup.Any): api is HttpApiGroup.HttpApiGroup.AnyWithProps =>
  "endpoints" in api

/** The endpoints of a group. */
export const endpoints = (
  api: HttpApiGroup.HttpApiGroup.Any
): ReadonlyArray<HttpApiEndpoint.HttpApiEndpoint.AnyWithProps> => isTyped(api) ? Object.values(api.endpoints) : []
