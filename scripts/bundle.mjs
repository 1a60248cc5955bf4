// Bundles the `holdfast` command when a source is newer than the last bundle: a start from TypeScript sources takes
// seconds, from the bundle a fraction of one.
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, utimesSync, writeFileSync } from "node:fs"
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

/** Processes that start at the same time all make it: each file appears whole, as of the moment its making began. */
const put = (path, contents, begun) => {
  const unfinished = `${path}.${process.pid}`
  writeFileSync(unfinished, contents)
  utimesSync(unfinished, begun, begun)
  renameSync(unfinished, path)
}

/** Makes `dist/holdfast.mjs` if needed; answers its path. */
export const bundle = async () => {
  if (isFresh()) return outfile
  const begun = new Date()
  const { build } = await import("esbuild")
  const result = await build({
    absWorkingDir: root,
    entryPoints: ["packages/cli/src/main.ts"],
    outfile,
    write: false,
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
  mkdirSync(`${root}dist`, { recursive: true })
  const inputs = Object.keys(result.metafile.inputs).filter((input) => !input.includes("node_modules"))
  put(inputsFile, JSON.stringify(inputs), begun)
  // The program last: whoever finds it new finds the others.
  const outputs = result.outputFiles.sort((a, b) => Number(a.path === outfile) - Number(b.path === outfile))
  for (const { contents, path } of outputs) put(path, contents, begun)
  return outfile
}
