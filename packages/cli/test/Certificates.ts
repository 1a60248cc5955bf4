import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Node cannot make certificates. */
export const hasOpenssl = spawnSync("openssl", ["version"]).status === 0

/** Files in PEM: an authority, and a certificate of it for the names with its key. They are gone with the scope. */
export const certificates = (...names: ReadonlyArray<`DNS:${string}` | `IP:${string}`>) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-doctor-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    ),
    (folder) => {
      const run = (...args: ReadonlyArray<string>) => {
        const { status, stderr } = spawnSync("openssl", args, { cwd: folder, encoding: "utf8" })
        assert.strictEqual(status, 0, stderr)
      }
      writeFileSync(join(folder, "names"), `subjectAltName=${names.join()}`)
      const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
      run("req", "-x509", ...newKey, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority")
      run("req", ...newKey, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=test server")
      run(
        ...["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"],
        ...["-days", "2", "-out", "server.pem", "-extfile", "names"]
      )
      return {
        ca: join(folder, "ca.pem"),
        key: join(folder, "server.key"),
        certificate: join(folder, "server.pem")
      }
    }
  )
