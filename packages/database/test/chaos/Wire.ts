/** What passes between a store and Postgres, as a proxy between them sees it. */

/** The store asks for a commit; everything that the transaction writes is in the same or an earlier piece. */
export const asksForCommit = (chunk: Buffer): boolean => chunk.includes("commit\0")

/** Postgres says that it has committed. */
export const saysCommitted = (chunk: Buffer): boolean => chunk.includes("COMMIT\0")

/** The store reads what the primary knows of an outage: a round of the merge has begun. */
export const merges = (chunk: Buffer): boolean => chunk.includes("known\0")

/** The last step before the flip: both sides are compared. */
export const proves = (chunk: Buffer): boolean => chunk.includes(" union all select ")
