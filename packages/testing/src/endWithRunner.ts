/**
 * A worker outlives a test runner that was killed, and with it everything its tests started: it ends here instead. By a
 * signal, for the runner forbids `process.exit` in its workers.
 */
const endWithRunner = () => process.kill(process.pid, "SIGKILL")

// Set up again for every file of a worker.
if (!process.listeners("disconnect").some(({ name }) => name === endWithRunner.name)) {
  process.on("disconnect", endWithRunner)
}
