export const isAlive: (pid: number) => boolean
export const descendants: (pid: number) => ReadonlyArray<number>
export const stopTree: (pid: number) => void
export const continueTree: (pid: number) => void
/** Answers the ids of what it killed. */
export const killTree: (pid: number) => ReadonlyArray<number>
export const endTree: (pid: number, signal: NodeJS.Signals) => Promise<void>
