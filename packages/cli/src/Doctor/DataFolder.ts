import { openLock } from "@holdfast/database/SqliteConnection"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync
} from "node:fs"
import { dirname, join, resolve } from "node:path"
import type { Finding, Report } from "./Finding.ts"
import { fail, ok, warn } from "./Finding.ts"
import { millis } from "./Network.ts"

const GIB = 1024 ** 3

/** What the agents write in some hours, and what a checkpoint of their logs needs at once. */
const SPACE_WARN_BYTES = GIB
const SPACE_FAIL_BYTES = GIB / 16

/** Each commit waits for the disk once. */
const SLOW_MILLIS = 30

/** By the magic numbers of Linux; the locks and the shared memory of SQLite do not work over a network. */
const remote: Readonly<Record<number, string>> = {
  0x6969: "NFS",
  0x517b: "SMB",
  0xff534d42: "CIFS",
  0xfe534d42: "SMB",
  0x01021997: "9p",
  0x00c36400: "Ceph",
  0x5346414f: "AFS",
  0x0bd00bd0: "Lustre",
  0x01161970: "GFS2",
  0x7461636f: "OCFS2"
}

const TMPFS = 0x01021994
const OVERLAY = 0x794c7630

/** The folder itself, or the nearest one above it that is there. */
const existing = (folder: string): string => existsSync(folder) ? folder : existing(dirname(folder))

class Denied extends Data.TaggedError("Denied")<{ readonly detail: string }> {}

const attempt = <A>(act: () => A): Effect.Effect<A, Denied> =>
  Effect.try({
    try: act,
    catch: (error) => new Denied({ detail: error instanceof Error ? error.message : String(error) })
  })

/** So many commits are timed: one of them may meet what others write. */
const TIMED = 5

/** Writes a file as commits do; how long the disk takes for one of them, the median, in milliseconds. */
const write = (folder: string): number => {
  const path = join(folder, `.doctor-${process.pid}`)
  try {
    const file = openSync(path, "w")
    try {
      const taken = Array.from({ length: TIMED }, () => {
        writeSync(file, Buffer.alloc(4096))
        const started = performance.now()
        fsyncSync(file)
        return performance.now() - started
      })
      return taken.sort((one, other) => one - other)[Math.floor(TIMED / 2)] ?? 0
    } finally {
      closeSync(file)
    }
  } finally {
    rmSync(path, { force: true })
  }
}

const writable = (folder: string): Effect.Effect<Finding> =>
  Effect.gen(function*() {
    const place = existing(folder)
    if (!statSync(place).isDirectory()) {
      return fail("data.folder", "no_folder", `${place} is a file`, "set HOLDFAST_DATA_DIR to a folder")
    }
    if (place !== folder) {
      // Who may write there may still not be able to: a disk may be read-only, and /proc takes no folders.
      yield* Effect.mapError(
        attempt(() => rmdirSync(mkdtempSync(join(place, ".doctor-")))),
        ({ detail }) => new Denied({ detail: `${folder} cannot be made: ${detail}` })
      )
      return ok("data.folder", `${folder} will be made`)
    }
    const taken = yield* attempt(() => write(folder))
    const seen = `${folder} can be written, ${millis(taken)} for a commit`
    return taken > SLOW_MILLIS
      ? warn("data.folder", "slow_disk", seen, "set HOLDFAST_DATA_DIR to a faster disk")
      : ok("data.folder", seen)
  }).pipe(
    Effect.catchTag("Denied", ({ detail }) =>
      Effect.succeed(fail(
        "data.folder",
        "not_writable",
        detail,
        "let this user write into the folder, or set HOLDFAST_DATA_DIR to another one"
      )))
  )

const disk = (folder: string): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.map(Effect.either(attempt(() => statfsSync(existing(folder)))), (outcome) => {
    if (outcome._tag === "Left") {
      return [warn("data.space", "unknown", outcome.left.detail, "look yourself how much room there is")]
    }
    const { bavail, bsize, type } = outcome.right
    const free = bavail * bsize
    const seen = `${(free / GIB).toFixed(1)} GiB free`
    const advice = "make room on the disk, or set HOLDFAST_DATA_DIR to another one"
    const name = remote[type]
    const move = "set HOLDFAST_DATA_DIR to a folder on a local disk"
    return [
      free < SPACE_FAIL_BYTES
        ? fail("data.space", "disk_full", seen, advice)
        : free < SPACE_WARN_BYTES
        ? warn("data.space", "disk_filling", seen, advice)
        : ok("data.space", seen),
      name !== undefined
        ? fail("data.disk", "network_disk", `${name}, over a network: the stores can break on it`, move)
        : type === TMPFS
        ? warn("data.disk", "volatile_disk", "in memory: gone when the machine restarts", move)
        : type === OVERLAY
        ? warn("data.disk", "volatile_disk", "a layer of a container: gone with the container", "mount a volume there")
        : ok("data.disk", "local")
    ]
  })

/** The processes that hold a lock on the file, as far as the system shows them. */
const holders = (path: string): ReadonlyArray<number> => {
  const { ino } = statSync(path)
  const locks = existsSync("/proc/locks") ? readFileSync("/proc/locks", "utf8") : ""
  const pids = [...locks.matchAll(/^\d+: POSIX\s+\w+\s+WRITE\s+(\d+)\s+[\da-f]+:[\da-f]+:(\d+)\s/gm)]
    .filter(([, , inode]) => inode === String(ino))
    .map(([, pid]) => Number(pid))
  // Inodes of different disks can be the same.
  return pids.filter((pid) => openFiles(pid).includes(path))
}

const openFiles = (pid: number): ReadonlyArray<string> => {
  try {
    const folder = `/proc/${pid}/fd`
    return readdirSync(folder).flatMap((name) => {
      try {
        return [readlinkSync(join(folder, name))]
      } catch {
        return []
      }
    })
  } catch {
    return []
  }
}

const commandOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").join(" ").trim().slice(0, 100)
  } catch {
    return ""
  }
}

/** Held by somebody whom the system does not show: in another container, or on another system than Linux. */
const isHeld = (path: string): boolean => {
  try {
    openLock(path).close()
    return false
  } catch (error) {
    return error instanceof Error && "code" in error && String(error.code).startsWith("SQLITE_BUSY")
  }
}

const locks = (folder: string): ReadonlyArray<Finding> => {
  const files = existsSync(folder) && statSync(folder).isDirectory()
    ? readdirSync(folder).filter((name) => name.endsWith(".lock"))
    : []
  const agentsOf = new Map<string, Array<string>>()
  for (const file of files) {
    const path = join(folder, file)
    const [pid] = holders(path)
    if (pid === undefined && !isHeld(path)) continue
    const who = pid === undefined ? "another process" : `process ${pid} (${commandOf(pid)})`
    agentsOf.set(who, [...agentsOf.get(who) ?? [], file.replace(/\.lock$/, "")])
  }
  return agentsOf.size === 0
    ? [ok("data.lock", "no process uses the stores")]
    : [...agentsOf].map(([who, agents]) =>
      warn(
        "data.lock",
        "in_use",
        `${who} runs ${agents.join(", ")} on it`,
        "stop it before you start these agents here again, or set HOLDFAST_DATA_DIR to another folder"
      )
    )
}

/**
 * Looks at the folder of the stores: whether it can be written, on what disk it is, how much room there is, who uses it.
 *
 * @category checks
 */
export const examine = (dataDir: string, report: Report): Effect.Effect<void> =>
  Effect.gen(function*() {
    const folder = resolve(dataDir)
    report(yield* writable(folder))
    const found = yield* disk(folder)
    found.forEach(report)
    yield* Effect.sync(() => locks(folder).forEach(report))
  })
