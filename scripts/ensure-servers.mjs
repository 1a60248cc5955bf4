// Fetches the servers that tests want and this machine lacks into node_modules/.cache/servers, and says where each comes
// from. With REQUIRE_SERVERS=1 a server that cannot be had is a failure.
//   node scripts/ensure-servers.mjs [postgres] [redis] [kafka]
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const child = spawn(
  process.execPath,
  ["--import", "tsx", "packages/testing/src/ensureServers.ts", ...process.argv.slice(2)],
  { cwd: fileURLToPath(new URL("..", import.meta.url)), stdio: "inherit" }
)
process.exit(await new Promise((resolve) => child.on("exit", (exit) => resolve(exit ?? 1))))
