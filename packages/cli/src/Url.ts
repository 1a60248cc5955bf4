import * as Options from "@effect/cli/Options"

/** Where running agents answer. */
export const url = Options.text("url").pipe(
  Options.withDescription("Where the agents answer"),
  Options.withDefault("http://127.0.0.1:4000"),
  Options.map((text) => text.replace(/\/+$/, ""))
)

/** Output for programs. */
export const json = Options.boolean("json").pipe(Options.withDescription("Print JSON"))
