import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Count from "./Count.ts"
import * as Doctor from "./Doctor/Doctor.ts"
import * as Finding from "./Doctor/Finding.ts"
import { print, printJson } from "./Terminal.ts"
import { json } from "./Url.ts"

/** Something does not work. */
export class DoctorFailed extends Data.TaggedError("DoctorFailed")<{ readonly detail: string }> {}

const port = Options.text("port").pipe(
  Options.withDescription("Port to listen on, instead of HOLDFAST_PORT"),
  Options.optional
)

const dataDir = Options.text("data-dir").pipe(
  Options.withDescription("Folder of the stores, instead of HOLDFAST_DATA_DIR"),
  Options.optional
)

/** `holdfast doctor` */
export const command = Command.make("doctor", { dataDir, port, json }, (given) =>
  Effect.gen(function*() {
    const findings = yield* Doctor.run({
      ...(Option.isSome(given.port) ? { HOLDFAST_PORT: given.port.value } : {}),
      ...(Option.isSome(given.dataDir) ? { HOLDFAST_DATA_DIR: given.dataDir.value } : {})
    })
    const count = (status: Finding.Finding["status"]) => findings.filter((finding) => finding.status === status).length
    yield* given.json
      ? printJson({ status: Finding.worst(findings), checks: findings })
      : print(`${Finding.format(findings)}\n\n${count("ok")} ok, ${count("warn")} warn, ${count("fail")} fail`)
    if (count("fail") > 0) {
      return yield* new DoctorFailed({ detail: Count.of(count("fail"), "check fails", "checks fail") })
    }
  })).pipe(
    Command.withDescription(
      "Check what the agents need before they are started: configuration, this machine, the data folder, the port, and\n" +
        "Postgres, Kafka and Redis when they are configured. Says what was seen and how to mend it; exit code 1 when\n" +
        "something does not work. Changes nothing, and ends within ten seconds.\n\n" +
        "Examples:\n" +
        "  npm run -s holdfast -- doctor\n" +
        "  DATABASE_URL=postgres://holdfast@db/holdfast npm run -s holdfast -- doctor --json"
    )
  )
