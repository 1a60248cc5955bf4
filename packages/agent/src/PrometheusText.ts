/**
 * A metric with its samples, as Prometheus's text format 0.0.4 has it.
 *
 * @category models
 */
export interface Family {
  readonly name: string
  readonly help: string
  readonly type: "counter" | "gauge" | "histogram"
  readonly samples: ReadonlyArray<Sample>
}

/**
 * One value; `suffix` is for the parts of a histogram.
 *
 * @category models
 */
export interface Sample {
  readonly suffix?: "_bucket" | "_sum" | "_count"
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
}

/** The media type of the text. */
export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

const escape = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\"", "\\\"")

const labelText = (labels: Sample["labels"]): string => {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escape(String(value))}"`)
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`
}

const numberText = (value: number): string =>
  value === Infinity ? "+Inf" : value === -Infinity ? "-Inf" : Number.isNaN(value) ? "NaN" : String(value)

/**
 * The text of all families; those without samples are left out.
 *
 * @category rendering
 */
export const render = (families: ReadonlyArray<Family>): string =>
  families.filter((family) => family.samples.length > 0).map((family) =>
    [
      `# HELP ${family.name} ${family.help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`,
      `# TYPE ${family.name} ${family.type}`,
      ...family.samples.map((sample) =>
        `${family.name}${sample.suffix ?? ""}${labelText(sample.labels)} ${numberText(sample.value)}`
      )
    ].join("\n")
  ).join("\n") + "\n"
