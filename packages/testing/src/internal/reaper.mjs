// Ends a test's server when the test process dies, however it dies: the pipe to it closes then, even after kill -9.
// Lines on stdin: `watch <pid> <signal>`, `forget <pid>`, and what is removed at the end: `folder <path>`,
// `container <name>`.
import { spawnSync } from "node:child_process"
import { rmSync } from "node:fs"
import { createInterface } from "node:readline"
import { endTree } from "./processTree.mjs"

for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, () => {})

const watched = new Map()
const folders = []
const containers = []

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [verb, first, second] = line.split("\t")
    if (verb === "watch") watched.set(Number(first), second)
    if (verb === "forget") watched.delete(Number(first))
    if (verb === "folder") folders.push(first)
    if (verb === "container") containers.push(first)
  })
  .on("close", async () => {
    await Promise.all([...watched].map(([pid, signal]) => endTree(pid, signal)))
    for (const name of containers) spawnSync("docker", ["rm", "--force", "--volumes", name], { stdio: "ignore" })
    for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
    process.exit(0)
  })
