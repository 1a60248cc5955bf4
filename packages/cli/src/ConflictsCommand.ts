import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import { ConflictView } from "@holdfast/agent/ConflictView"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { ApiClient } from "./ApiClient.ts"
import * as OperatorCommand from "./OperatorCommand.ts"
import { print, printJson, table } from "./Terminal.ts"
import { json, url } from "./Url.ts"

const client = (url: Option.Option<string>) =>
  Effect.provide(ApiClient.layerConfig({ url, patienceMillis: OperatorCommand.PATIENCE_MILLIS }))

const agent = Args.text({ name: "agent" })
const id = Args.text({ name: "id" }).pipe(Args.withDescription("The id of the operation, as it is listed"))

const pathOf = (given: { readonly agent: string; readonly id: string }): string =>
  `/${encodeURIComponent(given.agent)}/conflicts/${encodeURIComponent(given.id)}`

/** A value in one line. */
const text = (value: unknown): string =>
  value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value)

/** Which rows are in conflict, and why; or what it waits for. */
const about = ({ behind, rows }: ConflictView): string => {
  const disputed = rows.filter(({ reason }) => reason !== undefined)
  return behind !== undefined && disputed.length === 0
    ? `waits behind ${behind}`
    : disputed.map(({ key, reason, table }) => `${table} ${text(key)}: ${reason}`).join("; ")
}

const columns = ["id", "status", "command", "at", "conflict"]
const cells = (conflict: ConflictView): ReadonlyArray<string> => [
  conflict.id,
  conflict.status,
  conflict.command,
  conflict.at,
  about(conflict)
]

const fieldsOf = (row: unknown): Readonly<Record<string, unknown>> => Predicate.isRecord(row) ? row : {}

/**
 * A row as the operation found it and wanted it, and where it is in conflict as Postgres had it; those columns first in
 * which they differ.
 */
const sides = (row: ConflictView["rows"][number]): string => {
  const versions = [
    { title: "before", row: row.before, none: "(no row)" },
    ...(row.reason === undefined ? [] : [{ title: "in Postgres", row: row.primary, none: "(no row)" }]),
    { title: "in the outage", row: row.outage, none: "(deleted)" }
  ]
  const fields = [...new Set(versions.flatMap((version) => Object.keys(fieldsOf(version.row))))]
  const differs = (field: string) => new Set(versions.map((version) => text(fieldsOf(version.row)[field]))).size > 1
  const lines = [...fields.filter(differs), ...fields.filter((field) => !differs(field))].map((field) => [
    differs(field) ? "≠" : "",
    field,
    ...versions.map(({ none, row }) => row === null ? none : text(fieldsOf(row)[field]))
  ])
  const conflict = row.reason === undefined ? "not in conflict" : `in conflict, ${row.reason} (${row.policy ?? ""})`
  return `${row.table} ${text(row.key)}: ${conflict}\n` +
    table([["", "column", ...versions.map(({ title }) => title)], ...lines])
}

const shown = (conflict: ConflictView): string =>
  [
    table([
      ["operation", conflict.id],
      ["command", conflict.command],
      ["status", conflict.status],
      ["at", conflict.at],
      ...(conflict.behind === undefined ? [] : [["waits behind", conflict.behind]]),
      ...(conflict.settledBy === undefined ? [] : [["settled by", conflict.settledBy]])
    ]),
    ...conflict.rows.map(sides)
  ].join("\n\n")

const kind: OperatorCommand.Listed<ConflictView, typeof ConflictView.Encoded> = {
  name: "conflicts",
  item: ConflictView,
  stateParameter: "status",
  open: ["open"],
  columns,
  cells,
  owners: "all"
}

const list = Command.make("conflicts", {
  state: Options.choice("status", ["open", "applied", "discarded"]).pipe(
    Options.withDescription("Only those with this status"),
    Options.optional
  ),
  all: OperatorCommand.all,
  url,
  json
}, (given) => OperatorCommand.list(kind, given).pipe(client(given.url)))

const show = Command.make("show", { agent, id, url, json }, (given) =>
  Effect.gen(function*() {
    const api = yield* ApiClient
    const conflict = yield* api.get(pathOf(given), ConflictView).pipe(OperatorCommand.knowing(given.agent))
    yield* given.json ? printJson(conflict) : print(shown(conflict))
  }).pipe(client(given.url))).pipe(
    Command.withDescription(
      "Show an operation with every row that it changes: as it found it, as Postgres had it, as the outage wanted it"
    )
  )

const settle = Command.make("settle", {
  agent,
  id,
  keep: Options.choice("keep", ["outage", "primary"]).pipe(
    Options.withDescription(
      "outage: apply the operation's changes over what Postgres has (counters are added); primary: drop them"
    )
  ),
  url,
  json
}, (given) =>
  Effect.gen(function*() {
    const api = yield* ApiClient
    const settled = yield* api.post(`${pathOf(given)}/settle`, { keep: given.keep }, undefined, ConflictView).pipe(
      OperatorCommand.knowing(given.agent)
    )
    yield* given.json ? printJson(settled) : print(table([columns, cells(settled)]))
  }).pipe(client(given.url))).pipe(
    Command.withDescription("Decide an operation; those that wait behind it are tried again")
  )

/** `holdfast conflicts` */
export const command = list.pipe(
  Command.withDescription(
    "List operations of an outage that could not merge into Postgres, and decide them.\n\n" +
      "Examples:\n" +
      "  npm run -s holdfast -- conflicts\n" +
      "  npm run -s holdfast -- conflicts show product http:product:anonymous:edit-1\n" +
      "  npm run -s holdfast -- conflicts settle product http:product:anonymous:edit-1 --keep primary"
  ),
  Command.withSubcommands([show, settle])
)
