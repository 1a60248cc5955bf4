// Bundles the `holdfast` command when a source is newer than the last bundle: a start from TypeScript sources takes
// seconds, from the bundle a fraction of one.
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const outfile = `${root}dist/holdfast.mjs`
const inputsFile = `${root}dist/inputs.json`

const isFresh = () => {
  if (!existsSync(outfile) || !existsSync(inputsFile)) return false
  const built = statSync(outfile).mtimeMs
  const inputs = [...JSON.parse(readFileSync(inputsFile, "utf8")), "pnpm-lock.yaml", "scripts/bundle.mjs"]
  return inputs.every((input) => (statSync(root + input, { throwIfNoEntry: false })?.mtimeMs ?? Infinity) < built)
}

/** Makes `dist/holdfast.mjs` if needed; answers its path. */
export const bundle = async () => {
  if (isFresh()) return outfile
  const { build } = await import("esbuild")
  const result = await build({
    absWorkingDir: root,
    entryPoints: ["packages/cli/src/main.ts"],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    minifySyntax: true,
    minifyWhitespace: true,
    keepNames: false,
    sourcemap: true,
    metafile: true,
    external: ["better-sqlite3"],
    logLevel: "warning",
    banner: {
      js: "import{createRequire as __createRequire}from\"node:module\";const require=__createRequire(import.meta.url);"
    }
  })
  const inputs = Object.keys(result.metafile.inputs).filter((input) => !input.includes("node_modules"))
  writeFileSync(inputsFile, JSON.stringify(inputs))
  return outfile
}
