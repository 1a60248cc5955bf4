import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { posix } from "node:path"
import { fileURLToPath } from "node:url"
import { open, pause, temporary, until } from "./Shop.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))
const readme = readFileSync(`${root}README.md`, "utf8")

/** How long a checkout may take before its order counts as wrong. */
const PATIENCE_MILLIS = 20_000

/** A command of the README with the answer that it shows. */
interface Example {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  readonly shown: string
}

const parse = (command: string, shown: string): Example => {
  const words = [...command.replaceAll("\\\n", " ").matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) =>
    quoted ?? plain ?? ""
  )
  const after = (flag: string) => words.flatMap((word, at) => words[at - 1] === flag ? [word] : [])
  return {
    url: words.find((word) => word.startsWith("http")) ?? "",
    headers: Object.fromEntries(after("-H").map((header) => header.split(": "))),
    body: after("-d")[0],
    shown
  }
}

const examples = [...readme.matchAll(/```sh\n(curl .*?)```\n\n```http\n(.*?)```/gs)].map((
  [, command = "", shown = ""]
) => parse(command, shown))

/** Whether the text has all that is shown, in order; `…` stands for anything and space for nothing. */
const contains = (text: string, shown: string): boolean => {
  const plain = text.replaceAll(/\s/g, "")
  let at = 0
  return shown.replaceAll(/\s/g, "").split("…").every((part) => {
    const found = plain.indexOf(part, at)
    at = found + part.length
    return found >= 0
  })
}

const ask = (example: Example, port: number) =>
  Effect.promise(async () => {
    const response = await fetch(example.url.replace(":4000", `:${port}`), {
      method: example.body === undefined ? "GET" : "POST",
      headers: example.headers,
      ...(example.body === undefined ? {} : { body: example.body })
    })
    const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`)
    return [`HTTP/1.1 ${response.status} ${response.statusText}`, ...headers].join("\n") +
      `\n\n${await response.text()}`
  })

/** Status line, headers and body as far as they are shown. */
const matches = (answer: string, { shown }: Example): boolean => {
  const [head = "", body = ""] = answer.split("\n\n")
  const blocks = shown.trim().split("\n\n")
  const shownBody = blocks.at(-1) ?? ""
  const shownHead = blocks.length > 1 ? blocks[0] ?? "" : ""
  return shownHead.split("\n").every((line) => head.includes(line)) && contains(body, shownBody)
}

/** Until every agent has heard what the others have told. */
const settled = (port: number) =>
  until(Effect.promise(async () => {
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
    const lags = [...metrics.matchAll(/^holdfast_consumer_lag\{.*\} (\d+)$/gm)]
    return lags.length > 0 && lags.every(([, lag]) => lag === "0") ? true : undefined
  }))

/** Pages, each with its code blocks taken out. */
const pages = ["README.md", ...readdirSync(`${root}docs`).map((file) => `docs/${file}`)].map((path) => ({
  path,
  text: readFileSync(`${root}${path}`, "utf8").replaceAll(/```.*?```/gs, "")
}))

describe("README", () => {
  it.scopedLive("its first order runs as it is written", () =>
    Effect.gen(function*() {
      assert.isAtLeast(examples.length, 9)
      const { port } = yield* open(yield* temporary)
      for (const example of examples) {
        let answer = yield* ask(example, port)
        // What is read may still be on its way: a gateway is asked beside the messages.
        const deadline = Date.now() + PATIENCE_MILLIS
        while (example.body === undefined && !matches(answer, example) && Date.now() < deadline) {
          yield* pause(20)
          answer = yield* ask(example, port)
        }
        assert.isTrue(matches(answer, example), `${example.url} answers\n${answer}\nand not as shown\n${example.shown}`)
        yield* settled(port)
      }
    }), 60_000)

  it("links lead to pages and headings that exist", () => {
    const headings = new Set(
      pages.flatMap(({ path, text }) =>
        [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
          `${path}#${title.toLowerCase().replaceAll(/[^\w -]/g, "").replaceAll(" ", "-")}`
        )
      )
    )
    for (const { path, text } of pages) {
      for (const [, target = "", anchor] of text.matchAll(/\]\((?!http)([^)#]*)(#[^)]*)?\)/g)) {
        const page = target === "" ? path : posix.join(posix.dirname(path), target)
        assert.isTrue(existsSync(`${root}${page}`), `${path}: ${page}`)
        const known = pages.some((one) => one.path === page)
        if (anchor !== undefined && known) assert.isTrue(headings.has(page + anchor), `${path}: ${page}${anchor}`)
      }
    }
  })
})
