import * as Main from "@holdfast/agent/Main"
import { withSandbox } from "./Agent.ts"

Main.run(({ dataDir }) => [withSandbox({ directory: dataDir })])
