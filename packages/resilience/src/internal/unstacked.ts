/**
 * Builds an error without its stack: capturing one costs twenty times the rest of a refused call, and a refusal's
 * stack says nothing.
 */
export const unstacked = <A>(build: () => A): A => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  const error = build()
  Error.stackTraceLimit = limit
  return error
}
