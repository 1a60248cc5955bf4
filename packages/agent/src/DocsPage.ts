import type { Document, Operation } from "./OpenApiDocs.ts"

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("\"", "&quot;")

const rich = (text: string): string =>
  escape(text).replaceAll(/`([^`]+)`/g, "<code>$1</code>").replaceAll("\n\n", "<br>")

const style = `
:root { color-scheme: light dark; --line: #8884; --soft: #8881 }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem }
h1 { margin-bottom: 0 } h2 { border-bottom: 1px solid var(--line); margin-top: 2.5rem }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .4rem 0; padding: .4rem .8rem }
details[open] { background: var(--soft) } summary { cursor: pointer }
code, pre { font: .87em/1.45 ui-monospace, monospace } pre { overflow-x: auto; background: var(--soft); padding: .6rem }
table { border-collapse: collapse; width: 100% } td, th { border-top: 1px solid var(--line); padding: .3rem .5rem; text-align: left; vertical-align: top }
.method { display: inline-block; width: 4.2rem; font-weight: 700 } .muted { opacity: .7 }
`

/** The name a schema goes by in the document, if it has one. */
const referenced = (schema: object): string | undefined =>
  "$ref" in schema && typeof schema.$ref === "string" ? schema.$ref.split("/").at(-1) : undefined

const schemaBlock = (schema: object): string => {
  const name = referenced(schema)
  return name === undefined
    ? `<pre>${escape(JSON.stringify(schema, null, 2))}</pre>`
    : `<p>Schema <a href="#schema-${escape(name)}"><code>${escape(name)}</code></a></p>`
}

const curl = (method: string, path: string, operation: Operation): string =>
  [
    `curl -i -X ${method.toUpperCase()} "$HOLDFAST${path}"`,
    ...operation.parameters.filter((parameter) => parameter.in === "header" && parameter.required).map((parameter) =>
      parameter.name === "If-Match" ? `-H 'If-Match: "1"'` : `-H "${parameter.name}: $(uuidgen)"`
    ),
    ...(operation.requestBody === undefined ? [] : [`-H "content-type: application/json" -d '{ … }'`])
  ].join(" \\\n  ")

const parameterRows = (operation: Operation): string =>
  operation.parameters.length === 0
    ? ""
    : `<table><tr><th>parameter<th>in<th>meaning</tr>${
      operation.parameters.map((parameter) =>
        `<tr><td><code>${escape(parameter.name)}</code>${
          parameter.required ? "" : " <span class=muted>optional</span>"
        }` +
        `<td>${escape(parameter.in)}<td>${rich(parameter.description ?? "")}</tr>`
      ).join("")
    }</table>`

const responseRows = (operation: Operation): string =>
  `<table><tr><th>answer<th>meaning</tr>${
    Object.entries(operation.responses).map(([status, response]) => {
      const schema = Object.values(response.content ?? {})[0]?.schema
      const name = schema === undefined ? undefined : referenced(schema)
      const body = Number(status) >= 400 || schema === undefined
        ? ""
        : name === undefined
        ? schemaBlock(schema)
        : ` <a href="#schema-${escape(name)}"><code>${escape(name)}</code></a>`
      return `<tr><td>${escape(status)}<td>${rich(response.description)}${body}</tr>`
    }).join("")
  }</table>`

const operationBlock = (path: string, method: string, operation: Operation): string => {
  const body = Object.values(operation.requestBody?.content ?? {})[0]?.schema
  return `<details id="${escape(operation.operationId)}"><summary><span class=method>${method.toUpperCase()}</span>` +
    `<code>${escape(path)}</code> <span class=muted>${escape(operation.summary ?? "")}</span></summary>` +
    `<p>${rich(operation.description ?? "")}</p>${parameterRows(operation)}` +
    (body === undefined ? "" : `<h4>Body</h4>${schemaBlock(body)}`) +
    `<h4>Answers</h4>${responseRows(operation)}<pre>${escape(curl(method, path, operation))}</pre></details>`
}

/**
 * The document as one page of HTML that needs nothing else: no script, no other server.
 *
 * @category rendering
 */
export const render = (document: Document): string => {
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method, operation }))
  )
  return `<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">` +
    `<title>${escape(document.info.title)} API</title><style>${style}</style>` +
    `<h1>${escape(document.info.title)} API</h1><p class=muted>version ${escape(document.info.version)} · ` +
    `<a href="/openapi.json">openapi.json</a> · <a href="/health/detailed">health</a> · <a href="/metrics">metrics</a></p>` +
    `<p>${rich(document.info.description)} Examples: <code>HOLDFAST=http://127.0.0.1:4000</code>.</p>` +
    document.tags.map((tag) =>
      `<h2 id="${escape(tag.name)}">${escape(tag.description)}</h2>${
        operations.filter(({ operation }) => operation.tags.includes(tag.name))
          .map(({ method, operation, path }) => operationBlock(path, method, operation)).join("")
      }`
    ).join("") +
    `<h2>Schemas</h2>${
      Object.entries(document.components.schemas).map(([name, schema]) =>
        `<details id="schema-${escape(name)}"><summary><code>${escape(name)}</code></summary>` +
        `<pre>${escape(JSON.stringify(schema, null, 2))}</pre></details>`
      ).join("")
    }</html>`
}
