// Runs the `holdfast` command from its bundle, in this process, so that signals reach it directly.
import { bundle } from "./bundle.mjs"

await import(await bundle())
