// A server and the processes it started. Plain JavaScript: the reaper runs it without a compiler.
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"

const hasProc = existsSync("/proc/self/stat")

/** The parent and state of a process, from Linux's own table; the name in parentheses may hold anything. */
const statOf = (pid) => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return { pid: Number(pid), parent: Number(parent), state }
  } catch {
    return undefined
  }
}

const processes = () =>
  hasProc
    ? readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) => statOf(pid) ?? [])
    : spawnSync("ps", ["-A", "-o", "pid=,ppid=,stat="], { encoding: "utf8" }).stdout.trim().split("\n").map((line) => {
      const [pid, parent, state] = line.trim().split(/\s+/)
      return { pid: Number(pid), parent: Number(parent), state }
    })

/** A zombie does nothing any more: it is not alive. */
export const isAlive = (pid) =>
  hasProc
    ? !["Z", "X", undefined].includes(statOf(pid)?.state)
    : processes().some((one) => one.pid === pid && !one.state.startsWith("Z"))

export const descendants = (pid) => {
  const all = processes()
  const under = (parent) =>
    all.filter((one) => one.parent === parent).flatMap((one) => [one.pid, ...under(one.pid)])
  return under(pid)
}

const signal = (pid, name) => {
  try {
    process.kill(pid, name)
  } catch {
    // It ended meanwhile.
  }
}

/** The parent first, so that it starts nothing more. */
export const stopTree = (pid) => {
  signal(pid, "SIGSTOP")
  for (const child of descendants(pid)) signal(child, "SIGSTOP")
}

export const continueTree = (pid) => {
  for (const child of descendants(pid)) signal(child, "SIGCONT")
  signal(pid, "SIGCONT")
}

export const killTree = (pid) => {
  signal(pid, "SIGSTOP")
  const tree = [...descendants(pid), pid]
  for (const one of tree) signal(one, "SIGKILL")
  return tree
}

/** Longer than Postgres gives its children: it takes its shared memory with it only where it may end by itself. */
const GRACE_MILLIS = 6_000

/** Asks it to end and gives it a while; what is left then, is killed. */
export const endTree = async (pid, name) => {
  if (!isAlive(pid)) return
  const tree = [...descendants(pid), pid]
  if (name !== "SIGKILL") {
    continueTree(pid)
    signal(pid, name)
    for (let waited = 0; waited < GRACE_MILLIS && tree.some(isAlive); waited += 10) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  if (isAlive(pid)) killTree(pid)
  for (const one of tree) if (isAlive(one)) signal(one, "SIGKILL")
  for (let waited = 0; waited < 5_000 && tree.some(isAlive); waited += 10) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
