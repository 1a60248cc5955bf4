import * as Cause from "effect/Cause"
import * as HashMap from "effect/HashMap"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as LogLevel from "effect/LogLevel"
import * as Redaction from "./Redaction.ts"

interface Event {
  readonly time: string
  readonly level: string
  readonly message: string
  readonly annotations: ReadonlyArray<readonly [string, unknown]>
  readonly cause: string | undefined
}

/** A measured figure has no use for more than a thousandth. */
const plain = (value: unknown): unknown =>
  typeof value === "number" && Number.isFinite(value) ? Math.round(value * 1_000) / 1_000 : value

/** The parts of a log call: texts make the message, everything else is kept apart under `data`. */
const event = (options: Logger.Logger.Options<unknown>): Event => {
  const parts = Array.isArray(options.message) ? options.message : [options.message]
  const data = parts.filter((part) => typeof part !== "string" && !Cause.isCause(part))
  const cause = parts.filter(Cause.isCause).reduce(Cause.sequential, options.cause)
  return {
    time: options.date.toISOString(),
    level: options.logLevel.label.toLowerCase(),
    message: Redaction.text(parts.filter((part) => typeof part === "string").join(" ")),
    annotations: [
      ...HashMap.toEntries(options.annotations).map(([key, value]) =>
        [key, plain(Redaction.value(key, value))] as const
      ),
      ...(data.length === 0 ? [] : [["data", Redaction.value("data", data.length === 1 ? data[0] : data)] as const])
    ],
    cause: Cause.isEmpty(cause) ? undefined : Redaction.text(Cause.pretty(cause, { renderErrorCause: true }))
  }
}

const RESERVED = new Set(["time", "level", "message", "cause"])

/**
 * One JSON object a line: time, level, message, the annotations (agent, operation, correlationId, degradationLevel …) and
 * the cause. Secrets and personal data are redacted.
 *
 * @category loggers
 */
export const json: Logger.Logger<unknown, string> = Logger.make((options) => {
  const { annotations, cause, ...head } = event(options)
  return Inspectable.stringifyCircular({
    ...head,
    ...Object.fromEntries(annotations.map(([key, value]) => [RESERVED.has(key) ? `_${key}` : key, value])),
    ...(cause === undefined ? {} : { cause })
  })
})

const oneLine = (value: unknown): string =>
  typeof value === "string" ? value.replaceAll(/[\r\n]+/g, " ") : Inspectable.stringifyCircular(value)

/**
 * The same for a person's eyes: `10:00:12.000 INFO  message  key=value …`; a cause follows on indented lines.
 *
 * @category loggers
 */
export const pretty: Logger.Logger<unknown, string> = Logger.make((options) => {
  const { annotations, cause, level, message, time } = event(options)
  const pairs = annotations.map(([key, value]) => `${key}=${oneLine(value)}`).join(" ")
  const head = `${time.slice(11, 23)} ${level.toUpperCase().padEnd(7)} ${oneLine(message)}`
  return [
    pairs === "" ? head : `${head}  ${pairs}`,
    ...(cause === undefined ? [] : cause.split("\n").map((line) => `    ${line}`))
  ].join("\n")
})

/**
 * Replaces Effect's logger by one of these, writing to standard error (standard output belongs to results).
 *
 * @category layers
 */
export const layer = (options: {
  readonly format: "pretty" | "json"
  readonly level: LogLevel.LogLevel
  readonly write?: (line: string) => void
}): Layer.Layer<never> => {
  const write = options.write ?? ((line: string) => void process.stderr.write(`${line}\n`))
  const logger = options.format === "json" ? json : pretty
  return Layer.merge(
    Logger.replace(Logger.defaultLogger, Logger.map(logger, write)),
    Logger.minimumLogLevel(options.level)
  )
}
