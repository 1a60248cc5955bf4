import * as Main from "@holdfast/agent/Main"
import { agent } from "./Agent.ts"

Main.run(() => [agent])
