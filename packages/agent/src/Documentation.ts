import type { Agent } from "./Agent.ts"
import * as HttpAnswer from "./HttpAnswer.ts"
import type { Mount } from "./HttpRoute.ts"

/**
 * `/openapi.json` and `/docs`, made when first asked for.
 *
 * @category routes
 */
export const mounts = (agents: ReadonlyArray<Agent>, version: string, level: () => number): ReadonlyArray<Mount> => {
  let made: Promise<{ readonly json: HttpAnswer.HttpAnswer; readonly page: HttpAnswer.HttpAnswer }> | undefined
  const make = async () => {
    const [{ make: document }, { render }] = await Promise.all([import("./OpenApiDocs.ts"), import("./DocsPage.ts")])
    const spec = await document(agents, version)
    return {
      json: HttpAnswer.json(200, spec),
      page: HttpAnswer.text("text/html; charset=utf-8", render(spec), {
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"
      })
    }
  }
  return [
    { _tag: "Page", path: "/openapi.json", level, answer: async () => (await (made ??= make())).json },
    { _tag: "Page", path: "/docs", level, answer: async () => (await (made ??= make())).page }
  ]
}
