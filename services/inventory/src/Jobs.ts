import * as Job from "@holdfast/agent/Job"
import * as Reservations from "./Reservations.ts"

export const jobs = [Job.timer("expire-reservations", "15 seconds", Reservations.expire)]
