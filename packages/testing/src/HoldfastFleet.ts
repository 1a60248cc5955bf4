import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import * as HoldfastProcess from "./HoldfastProcess.ts"
import { ProcessFailed } from "./HoldfastProcess.ts"

/** How long an agent may take to do what a test waits for, in milliseconds. */
const PATIENCE_MILLIS = 60_000

/**
 * One agent in a process of its own, again and again: the same port and the same folder every time.
 *
 * @category models
 */
export interface Member {
  readonly agent: string
  readonly port: number
  readonly url: string
  readonly dataDir: string
  /** Starts it where it does not run; waits for nothing. */
  readonly start: Effect.Effect<void>
  /** `kill -9`, and waits for the end; nothing where it does not run. */
  readonly kill: Effect.Effect<void>
  /** SIGTERM, and waits for the end: how it ended, and after how many milliseconds. */
  readonly stop: Effect.Effect<{ readonly exit: number | NodeJS.Signals; readonly millis: number }, ProcessFailed>
  readonly signal: (name: NodeJS.Signals) => void
  readonly isRunning: () => boolean
  /** When it was last started, as `performance.now()` tells. */
  readonly startedAt: () => number
  /** What the process that runs, or ran last, wrote. */
  readonly output: () => string
}

/**
 * The agents of one shop, each in a process of its own.
 *
 * @category models
 */
export interface Fleet {
  readonly members: ReadonlyArray<Member>
  readonly of: (agent: string) => Member
  /** What a command needs to find the agents and their servers. */
  readonly env: Readonly<Record<string, string>>
  /** The folders of all processes, as arguments of `holdfast verify`. */
  readonly dataDirs: ReadonlyArray<string>
}

/** What a probe answered; undefined for none within its time. */
export interface Probed {
  readonly status: number
  readonly millis: number
  readonly body: unknown
}

/**
 * Asks a path of a process once.
 *
 * @category probes
 */
export const probe = (url: string, within = 1_000): Effect.Effect<Probed | undefined> =>
  Effect.promise(async () => {
    const begun = performance.now()
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(within) })
      const text = await response.text()
      return { status: response.status, millis: performance.now() - begun, body: JSON.parse(text) as unknown }
    } catch {
      return undefined
    }
  })

/**
 * Looks again and again until the look tells something.
 *
 * @category probes
 */
export const until = <A, E, R>(
  what: string,
  look: Effect.Effect<A | undefined, E, R>,
  within = PATIENCE_MILLIS
): Effect.Effect<A, E | ProcessFailed, R> =>
  Effect.gen(function*() {
    const deadline = performance.now() + within
    for (;;) {
      const seen = yield* look
      if (seen !== undefined) return seen
      if (performance.now() > deadline) return yield* new ProcessFailed({ detail: `${what}: not within ${within} ms` })
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
    }
  })

/** Waits until the member answers `ready`. */
export const ready = (member: Member, within = PATIENCE_MILLIS): Effect.Effect<void, ProcessFailed> =>
  Effect.catchAll(
    Effect.asVoid(until(
      `${member.agent} gets ready`,
      Effect.map(probe(`${member.url}/health/ready`), (probed) => probed?.status === 200 ? true : undefined),
      within
    )),
    ({ detail }) => new ProcessFailed({ detail: `${detail}; it wrote ${member.output().slice(-4_000)}` })
  )

const variableOf = (agent: string): string => `${agent.toUpperCase().replaceAll("-", "_")}_URL`

/**
 * Prepares a process for each agent, none of which runs yet; those that run end with the scope.
 *
 * @category constructors
 */
export const make = (options: {
  readonly agents: ReadonlyArray<string>
  /** Each process has a folder below it. */
  readonly directory: string
  /** The servers, and what else they are to be told. */
  readonly env: Readonly<Record<string, string>>
}): Effect.Effect<Fleet, never, Scope.Scope> =>
  Effect.gen(function*() {
    yield* HoldfastProcess.prepared
    const ports = yield* Effect.forEach(options.agents, () => HoldfastProcess.freePort)
    const urls = Object.fromEntries(
      options.agents.map((agent, index) => [variableOf(agent), `http://127.0.0.1:${ports[index]}`])
    )
    const env = { ...options.env, ...urls }
    const members = yield* Effect.forEach(options.agents, (agent, index) =>
      Effect.gen(function*() {
        const port = ports[index] ?? 0
        const dataDir = join(options.directory, agent)
        let current:
          | { readonly process: HoldfastProcess.HoldfastProcess; readonly scope: Scope.CloseableScope }
          | undefined
        let startedAt = 0
        const end = Effect.suspend(() => {
          const running = current
          return running === undefined ? Effect.void : Scope.close(running.scope, Exit.void)
        })
        yield* Effect.addFinalizer(() => end)
        const isRunning = () => current !== undefined && !current.process.hasExited()
        const member: Member = {
          agent,
          port,
          url: `http://127.0.0.1:${port}`,
          dataDir,
          isRunning,
          startedAt: () => startedAt,
          output: () => {
            const { stderr, stdout } = current?.process.output() ?? { stderr: "", stdout: "" }
            return `${stdout}${stderr}`
          },
          signal: (name) => current?.process.signal(name),
          start: Effect.suspend(() =>
            isRunning() ? Effect.void : Effect.gen(function*() {
              yield* end
              mkdirSync(dataDir, { recursive: true })
              const scope = yield* Scope.make()
              startedAt = performance.now()
              const process = yield* Scope.extend(
                HoldfastProcess.run(["start", agent, "--port", String(port), "--data-dir", dataDir], env),
                scope
              )
              current = { process, scope }
            })
          ),
          kill: Effect.suspend(() => {
            current?.process.signal("SIGKILL")
            return current === undefined ? Effect.void : Effect.asVoid(current.process.exit)
          }),
          stop: Effect.gen(function*() {
            if (current === undefined) return yield* new ProcessFailed({ detail: `${agent} does not run` })
            const begun = performance.now()
            current.process.signal("SIGTERM")
            const exit = yield* current.process.exit
            return { exit, millis: performance.now() - begun }
          })
        }
        return member
      }))
    return {
      members,
      of: (agent) => {
        const member = members.find((one) => one.agent === agent)
        if (member === undefined) throw new TypeError(`there is no agent ${agent} in this fleet`)
        return member
      },
      env,
      dataDirs: members.flatMap(({ dataDir }) => ["--data-dir", dataDir])
    }
  })
