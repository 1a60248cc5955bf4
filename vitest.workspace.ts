import { defineWorkspace } from "vitest/config"

/** One project per package and service; what needs real time or child processes is `*.integration.test.ts`. */
export default defineWorkspace([
  {
    test: {
      name: "unit",
      include: ["packages/*/test/**/*.test.ts", "services/*/test/**/*.test.ts", "packages/*/examples/**/*.test.ts"],
      exclude: ["**/*.integration.test.ts", "**/node_modules/**"],
      testTimeout: 30_000
    }
  },
  {
    test: {
      name: "integration",
      include: ["packages/*/test/**/*.integration.test.ts", "services/*/test/**/*.integration.test.ts"],
      exclude: ["**/node_modules/**"],
      pool: "forks",
      setupFiles: ["packages/testing/src/endWithRunner.ts"],
      testTimeout: 240_000,
      hookTimeout: 120_000
    }
  }
])
