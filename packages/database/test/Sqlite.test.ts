import * as Sqlite from "@holdfast/database/Sqlite"
import { migrations, suite } from "./StoreSuite.ts"

suite("SQLite store", Sqlite.layerTemporary({ agent: "bank", migrations }))
