/**
 * An answer to an HTTP request, ready to be written: the body is text, its length is known.
 *
 * @category models
 */
export interface HttpAnswer {
  readonly status: number
  readonly contentType: string
  readonly body: string
  /** Header values without line breaks: they come from the kernel or were checked against a pattern. */
  readonly headers?: Readonly<Record<string, string>>
}

/** Media type of answers. */
export const JSON_TYPE = "application/json"

/** Media type of errors (RFC 9457). */
export const PROBLEM_TYPE = "application/problem+json"

/** An answer with an encoded JSON body. */
export const json = (status: number, body: unknown, headers?: Readonly<Record<string, string>>): HttpAnswer => ({
  status,
  contentType: JSON_TYPE,
  body: JSON.stringify(body),
  ...(headers === undefined ? {} : { headers })
})

/** An answer with a text body of the media type. */
export const text = (
  contentType: string,
  body: string,
  headers?: Readonly<Record<string, string>>
): HttpAnswer => ({ status: 200, contentType, body, ...(headers === undefined ? {} : { headers }) })

/**
 * The answer as it is kept in the record of its operation, and back: one line with status and headers, then the body.
 *
 * @category codecs
 */
export const toRecord = (answer: HttpAnswer): string =>
  `${JSON.stringify({ status: answer.status, type: answer.contentType, headers: answer.headers })}\n${answer.body}`

interface Head {
  readonly status: number
  readonly type: string
  readonly headers?: Readonly<Record<string, string>>
}

/** The answer of a record, marked as given again. */
export const fromRecord = (record: string): HttpAnswer => {
  const end = record.indexOf("\n")
  // Written by `toRecord` above.
  const head = JSON.parse(record.slice(0, end)) as Head
  return {
    status: head.status,
    contentType: head.type,
    body: record.slice(end + 1),
    headers: { ...head.headers, "idempotent-replayed": "true" }
  }
}
