import { assert, describe, layer } from "@effect/vitest"
import * as PostgresServer from "@holdfast/testing/PostgresServer"
import * as TcpProxy from "@holdfast/testing/TcpProxy"
import * as TestServers from "@holdfast/testing/TestServers"
import { Context, Effect, Layer } from "effect"
import { readFileSync } from "node:fs"
import Pg from "pg"
import { certificates, hasOpenssl } from "./Certificates.ts"
import { examine, expectFaults, faults } from "./Examination.ts"

class Server extends Context.Tag("@holdfast/cli/test/DoctorPostgres.integration.test/Server")<
  Server,
  PostgresServer.PostgresServer
>() {
  static readonly layer = Layer.scoped(this, PostgresServer.start())
}

/** Runs statements as the superuser. */
const as = (url: string, ...statements: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const client = new Pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000, query_timeout: 5_000 })
    await client.connect()
    try {
      for (const statement of statements) await client.query(statement)
    } finally {
      await client.end()
    }
  })

/** Writes a file as the server's own user, into its data folder. */
const fileOf = (name: string, content: string) =>
  `copy (select 1) to program $$cat > /dev/null; cat > ${name} <<'END'\n${content}\nEND\nchmod 600 ${name}$$`

describe.skipIf(TestServers.isMissing("postgres", { faults: true }))("doctor and Postgres", () => {
  layer(Server.layer, { excludeTestServices: true })((it) => {
    it.scoped("a server in order", () =>
      Effect.gen(function*() {
        const server = yield* Server
        const findings = yield* expectFaults({ DATABASE_URL: yield* server.createDatabase("fine") }, [])
        assert.deepStrictEqual(
          findings.filter(({ check }) => check.startsWith("postgres")).map(({ check }) => check.slice(9)),
          [
            ...["address", "login", "version", "encryption", "encoding", "rights", "connections"],
            ...["durability", "clock", "latency"]
          ]
        )
        assert.match(findings.find(({ check }) => check === "postgres.rights")?.seen ?? "", /will be made at the start/)
      }))

    it.scoped("logins that are refused, each with its own code", () =>
      Effect.gen(function*() {
        const server = yield* Server
        const url = new URL(yield* server.createDatabase("login"))
        yield* as(
          url.href,
          "create role locked login password 'right'",
          "create role crowded login connection limit 0",
          fileOf(
            "pg_hba.conf",
            [
              "host all locked 127.0.0.1/32 scram-sha-256",
              "host all barred 127.0.0.1/32 reject",
              "hostssl all sealed 127.0.0.1/32 trust",
              "host all postgres,crowded,careless,other 127.0.0.1/32 trust"
            ].join("\n")
          ),
          "select pg_reload_conf()"
        )
        const at = (user: string, database = url.pathname.slice(1)) =>
          `postgres://${user}@127.0.0.1:${server.port}/${database}`
        yield* expectFaults({ DATABASE_URL: at("locked") }, ["fail postgres.login password_missing"])
        const wrong = yield* expectFaults({ DATABASE_URL: at("locked"), DATABASE_PASSWORD: "hunter2" }, [
          "fail postgres.login wrong_password"
        ])
        assert.notInclude(JSON.stringify(wrong), "hunter2")
        yield* expectFaults({ DATABASE_URL: at("barred") }, ["fail postgres.login login_refused"])
        yield* expectFaults({ DATABASE_URL: at("sealed") }, ["fail postgres.login encryption_required"])
        yield* expectFaults({ DATABASE_URL: at("postgres", "nowhere") }, ["fail postgres.login database_missing"])
        yield* expectFaults({ DATABASE_URL: at("crowded") }, ["fail postgres.login connections_exhausted"])
        yield* expectFaults({ DATABASE_URL: `${at("postgres")}?sslmode=require` }, [
          "fail postgres.login tls_not_spoken"
        ])
        // Let in, and without the right to make anything.
        yield* expectFaults({ DATABASE_URL: at("locked"), DATABASE_PASSWORD: "right" }, [
          "fail postgres.rights schema_not_creatable"
        ])
      }))

    it.scoped("what is set up in a way that loses data or runs dry", () =>
      Effect.gen(function*() {
        const server = yield* Server
        const url = new URL(yield* server.createDatabase("setup"))
        yield* as(
          url.href,
          "create role careless superuser login connection limit 4",
          "alter role careless set synchronous_commit = off",
          "alter role careless set default_transaction_read_only = on",
          "create role owner login",
          "create schema \"order\" authorization owner",
          "create role other login",
          `grant create on database "${url.pathname.slice(1)}" to other`,
          "create database ascii template template0 encoding 'SQL_ASCII'"
        )
        url.username = "careless"
        yield* expectFaults({ DATABASE_URL: url.href }, [
          "fail postgres.role read_only",
          "warn postgres.connections connections_scarce",
          "warn postgres.durability commits_can_be_lost"
        ])
        url.username = "other"
        yield* expectFaults({ DATABASE_URL: url.href }, ["fail postgres.rights schema_closed"])
        yield* expectFaults({ DATABASE_URL: server.url("ascii") }, ["fail postgres.encoding encoding"])
      }))

    it.scoped("a long way", () =>
      Effect.gen(function*() {
        const server = yield* Server
        const proxy = yield* TcpProxy.make({ host: "127.0.0.1", port: server.port })
        const url = new URL(yield* server.createDatabase("far"))
        url.port = String(proxy.port)
        yield* proxy.latency(30)
        yield* expectFaults({ DATABASE_URL: url.href }, ["warn postgres.latency slow"])
      }))

    it.scoped.skipIf(!hasOpenssl)("certificates", () =>
      Effect.gen(function*() {
        const server = yield* Server
        const url = yield* server.createDatabase("tls")
        const certify = (name: `DNS:${string}`) =>
          Effect.gen(function*() {
            const { ca, certificate, key } = yield* certificates(name)
            yield* as(
              url,
              fileOf("server.key", readFileSync(key, "utf8")),
              fileOf("server.crt", readFileSync(certificate, "utf8")),
              "alter system set ssl = on",
              "select pg_reload_conf()",
              // The postmaster reads its files a moment later than it is told to.
              "select pg_sleep(0.3)"
            )
            return ca
          })
        const ca = yield* certify("DNS:localhost")
        const named = url.replace("127.0.0.1", "localhost")
        const findings = yield* expectFaults({ DATABASE_URL: named, DATABASE_CA_FILE: ca }, [])
        assert.match(
          findings.find(({ check }) => check === "postgres.encryption")?.seen ?? "",
          /^TLSv1\.\d, the server is verified$/
        )
        yield* expectFaults({ DATABASE_URL: `${named}?sslmode=require` }, ["warn postgres.encryption not_verified"])
        yield* expectFaults({ DATABASE_URL: `${named}?sslmode=verify-full` }, ["fail postgres.login tls_untrusted"])
        const other = yield* certify("DNS:db.example.com")
        yield* expectFaults({ DATABASE_URL: named, DATABASE_CA_FILE: other }, ["fail postgres.login tls_name_mismatch"])
        yield* as(url, "alter system reset ssl", "select pg_reload_conf()")
      }), 20_000)

    it.scoped("a server that is stalled, and one that is gone, keep nobody waiting", () =>
      Effect.gen(function*() {
        const server = yield* Server
        const DATABASE_URL = yield* server.createDatabase("stalled")
        yield* server.stall
        const stalled = yield* examine({ DATABASE_URL })
        yield* server.resume
        assert.deepStrictEqual(faults(stalled.findings), ["fail postgres.login server_silent"])
        assert.isBelow(stalled.millis, 5_000)
        yield* server.kill
        yield* expectFaults({ DATABASE_URL }, ["fail postgres.address connection_refused"])
        yield* expectFaults({ DATABASE_URL: "postgres://me@nowhere.invalid/shop" }, [
          "fail postgres.address host_unknown"
        ])
      }), 20_000)
  })
})
