// Dependencies point one way (docs/architecture.md): a package may import only what its row allows, what its own
// package.json declares, and no module cycles exist.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))

const kernel = ["resilience", "contracts", "database", "messaging", "cache"]
const services = readdirSync(join(root, "services"))
const allowed = {
  resilience: [],
  contracts: [],
  database: ["resilience", "contracts"],
  messaging: ["resilience", "contracts", "database"],
  cache: ["resilience"],
  agent: kernel,
  testing: [...kernel, "agent"],
  cli: [...kernel, "agent", "testing", ...services],
  ...Object.fromEntries(services.map((service) => [service, [...kernel, "agent"]]))
}

const filesIn = (folder) =>
  existsSync(folder)
    ? readdirSync(folder).flatMap((name) => {
      const path = join(folder, name)
      return statSync(path).isDirectory() ? (name === "node_modules" ? [] : filesIn(path)) : path.endsWith(".ts") ? [path] : []
    })
    : []

const importsOf = (file) =>
  [...readFileSync(file, "utf8").matchAll(/^(?:import|export)\s(?:[^"'`(=]*?\sfrom\s)?["']([^"']+)["']/gm)].map((match) => ({
    specifier: match[1],
    typeOnly: /^(?:import|export)\s+type\s/.test(match[0])
  }))

const problems = []
const graph = new Map()
for (const home of ["packages", "services"]) {
  for (const name of readdirSync(join(root, home))) {
    const folder = join(root, home, name)
    const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))
    const runtime = new Set(Object.keys(manifest.dependencies ?? {}))
    const everything = new Set([...runtime, ...Object.keys(manifest.devDependencies ?? {})])
    for (const file of filesIn(folder)) {
      const inSource = file.startsWith(join(folder, "src"))
      const shown = relative(root, file)
      for (const { specifier, typeOnly } of importsOf(file)) {
        if (specifier.startsWith(".")) {
          const target = resolve(dirname(file), specifier)
          if (!target.startsWith(folder)) problems.push(`${shown}: relative import out of its package: ${specifier}`)
          if (inSource && !typeOnly) graph.set(file, [...(graph.get(file) ?? []), target])
          continue
        }
        if (specifier.startsWith("node:")) continue
        const [scope, base] = specifier.split("/")
        const dependency = specifier.startsWith("@") ? `${scope}/${base}` : scope
        const own = dependency === manifest.name
        if (inSource && own) problems.push(`${shown}: imports its own package by name: ${specifier}`)
        if (inSource && scope === "@holdfast" && !own && !allowed[name].includes(base)) {
          problems.push(`${shown}: ${name} must not depend on ${base}`)
        }
        if (inSource && !own && !runtime.has(dependency)) {
          problems.push(`${shown}: ${dependency} is not among the dependencies of ${manifest.name}`)
        }
        if (!inSource && scope === "@holdfast" && !own && !everything.has(dependency)) {
          problems.push(`${shown}: ${dependency} is not declared by ${manifest.name}`)
        }
      }
    }
  }
}

const visiting = new Set()
const visited = new Set()
const visit = (file, path) => {
  if (visiting.has(file)) {
    problems.push(`cycle: ${[...path.slice(path.indexOf(file)), file].map((one) => relative(root, one)).join(" → ")}`)
    return
  }
  if (visited.has(file)) return
  visiting.add(file)
  for (const target of graph.get(file) ?? []) visit(target, [...path, file])
  visiting.delete(file)
  visited.add(file)
}
for (const file of graph.keys()) visit(file, [])

for (const problem of problems) console.log(problem)
console.log(problems.length === 0 ? "dependencies point one way" : `${problems.length} problems`)
process.exit(problems.length === 0 ? 0 : 1)
