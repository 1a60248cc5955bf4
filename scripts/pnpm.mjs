// Runs the pinned pnpm through npx, so that Node and npm are all a machine needs.
import { spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const { packageManager } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"))

/** Where Node's headers came with it, what has to be compiled need not download them. */
const ownHeaders = () => {
  const prefix = dirname(dirname(process.execPath))
  const file = `${prefix}/include/node/node_version.h`
  const version = existsSync(file) ? /define NODE_MODULE_VERSION (\d+)/.exec(readFileSync(file, "utf8"))?.[1] : undefined
  return version === process.versions.modules ? { npm_config_nodedir: prefix } : {}
}

export const pnpm = (args, options = {}) =>
  new Promise((resolve) => {
    // `npm run -s` would make it fail without a word.
    const { npm_config_loglevel: _, ...inherited } = process.env
    const env = { ...ownHeaders(), ...inherited }
    const child = spawn("npx", ["-y", packageManager, ...args], { cwd: root, stdio: "inherit", env, ...options })
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal))
    child.on("exit", (code, signal) => resolve(code ?? (signal === null ? 0 : 1)))
  })

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exit(await pnpm(process.argv.slice(2)))
