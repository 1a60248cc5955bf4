import * as Job from "@holdfast/agent/Job"
import * as Lists from "./Lists.ts"
import * as Reviewing from "./Reviewing.ts"

export const jobs = [
  Job.timer("case-timers", "15 seconds", Reviewing.tick),
  Job.timer("expire-list-entries", "1 minute", Lists.expire)
] as const
