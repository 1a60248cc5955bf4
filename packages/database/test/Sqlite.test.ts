import * as Sqlite from "@holdfast/database/Sqlite"
import { migrations } from "./Bank.ts"
import { suite } from "./StoreSuite.ts"

suite("SQLite store", Sqlite.layerTemporary({ agent: "bank", migrations }))
