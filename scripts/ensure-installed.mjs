// Installs the locked dependencies when the lock file or the Node version changed since the last install.
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { pnpm } from "./pnpm.mjs"

const at = (path) => new URL(`../${path}`, import.meta.url)
const stampFile = at("node_modules/.holdfast-installed")
const wanted = createHash("sha256").update(readFileSync(at("pnpm-lock.yaml"))).update(process.version).digest("hex")
const installed = existsSync(stampFile) ? readFileSync(stampFile, "utf8") : ""

if (installed !== wanted) {
  console.error("Installing dependencies (the first time, SQLite may have to be compiled: about a minute) …")
  const code = await pnpm(["install", "--frozen-lockfile", "--prefer-offline"], { stdio: ["ignore", 2, 2] })
  if (code !== 0) {
    console.error("Dependencies could not be installed: the reason is above. Mend it and run the same command again.")
    process.exit(code)
  }
  mkdirSync(at("node_modules"), { recursive: true })
  writeFileSync(stampFile, wanted)
}
