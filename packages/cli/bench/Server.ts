/** The program itself as a child process, as `npm start` runs it. */
import { execFileSync, spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { get } from "node:http"
import { createServer } from "node:net"

/** A running program that answered its readiness probe. */
export interface Server {
  readonly url: string
  /** From the moment it was spawned to the first 200. */
  readonly readyMillis: number
  /** CPU time used so far, in microseconds, and resident memory in MiB; undefined where the system does not tell. */
  readonly usage: () => { readonly cpuMicros: number; readonly rssMiB: number } | undefined
  /** Without notice, as a crash does. */
  readonly kill: () => Promise<void>
}

/** A port that was free a moment ago. */
const freePort = () =>
  new Promise<number>((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

const status = (url: string) =>
  new Promise<number | undefined>((resolve) => {
    const request = get(url, { agent: false, timeout: 1000 }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    request.on("timeout", () => request.destroy())
    request.on("error", () => resolve(undefined))
  })

/** The unit of /proc's CPU times. */
const ticksPerSecond = (): number => {
  try {
    return Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }))
  } catch {
    return 100
  }
}

const usageOf = (pid: number | undefined) => {
  const ticks = ticksPerSecond()
  return () => {
    try {
      // The name in parentheses may hold spaces; user and system time are the 12th and 13th field after it.
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
      const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
      return {
        cpuMicros: (Number(fields[11]) + Number(fields[12])) / ticks * 1e6,
        rssMiB: Number(kib) / 1024
      }
    } catch {
      // No /proc: not Linux.
      return undefined
    }
  }
}

/** Servers that the shell of who runs the bench happens to name are no part of it. */
const withoutServers = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !["DATABASE_URL", "KAFKA_BROKERS", "REDIS_URL"].includes(name))
)

/** Runs a Node program that is given its port, until the path answers 200. */
export const spawnUntilReady = async (
  args: (port: number) => ReadonlyArray<string>,
  path: string,
  env: Readonly<Record<string, string>> = {}
): Promise<Server> => {
  const port = await freePort()
  const begun = performance.now()
  const child = spawn(process.execPath, args(port), {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...withoutServers, LOG_LEVEL: "warning", ...env }
  })
  let said = ""
  child.stderr.on("data", (chunk) => {
    said = `${said}${chunk}`.slice(-2000)
  })
  const killed = () => void child.kill("SIGKILL")
  process.once("exit", killed)
  const ended = new Promise<void>((resolve) =>
    child.once("exit", () => {
      process.off("exit", killed)
      resolve()
    })
  )
  const url = `http://127.0.0.1:${port}`
  while (await status(`${url}${path}`) !== 200) {
    if (child.exitCode !== null) throw new Error(`the program ended with ${child.exitCode}: ${said}`)
    if (performance.now() - begun > 30_000) throw new Error(`not ready after 30 s: ${said}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  return {
    url,
    readyMillis: performance.now() - begun,
    usage: usageOf(child.pid),
    kill: () => {
      killed()
      return ended
    }
  }
}

/** `holdfast start` with all agents on the stores of that folder, and on the servers that `env` names. */
export const start = (dataDir: string, env: Readonly<Record<string, string>> = {}): Promise<Server> =>
  spawnUntilReady(
    (port) => ["scripts/holdfast.mjs", "start", "--port", String(port), "--data-dir", dataDir],
    "/health/ready",
    env
  )
