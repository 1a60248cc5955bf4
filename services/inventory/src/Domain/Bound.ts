import { available, type Level } from "./Level.ts"

/**
 * What this process may promise while the primary store is away and others may promise of the same goods: its share of
 * what was free when the outage began, and all that has come in here since. Nothing is promised on backorder. The rest is
 * shown as held.
 */
export const within = <L extends Level>(now: L, atStart: Level | undefined, share: number): L => {
  const untouched = atStart === undefined ? 0 : Math.max(0, available(atStart))
  const ofOthers = Math.ceil(untouched * (1 - share))
  return { ...now, onHold: now.onHold + ofOthers, backorderLimit: 0 }
}
