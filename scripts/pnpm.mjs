// Runs the pinned pnpm through npx, so that Node and npm are all a machine needs.
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const { packageManager } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"))

export const pnpm = (args, options = {}) =>
  new Promise((resolve) => {
    const child = spawn("npx", ["-y", packageManager, ...args], { cwd: root, stdio: "inherit", ...options })
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal))
    child.on("exit", (code, signal) => resolve(code ?? (signal === null ? 0 : 1)))
  })

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exit(await pnpm(process.argv.slice(2)))
