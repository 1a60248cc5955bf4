/**
 * One step of a store's history, forward only. A statement is portable SQL, or one text per dialect where they differ; an
 * empty text is a dialect that has nothing to do.
 *
 * @category models
 */
export interface Migration {
  /** `0001_initial`: number and name; the number orders, and is given once. */
  readonly id: `${number}_${string}`
  readonly statements: ReadonlyArray<string | { readonly sqlite: string; readonly postgres: string }>
}

/** Declares a migration. */
export const make = (id: Migration["id"], statements: Migration["statements"]): Migration => ({ id, statements })

/**
 * What portable SQL needs in Postgres: `real` is four bytes there, and references are looked at when the transaction
 * commits, because the rows of one transaction arrive table by table.
 */
const forPostgres = (statement: string): string =>
  statement
    .replaceAll(/\breal\b/g, "double precision")
    .replaceAll(/\breferences (\w+) \((\w+)\)/g, "references $1 ($2) deferrable initially deferred")

/**
 * The statements of a migration in one dialect, in order.
 *
 * @category rendering
 */
export const statements = (migration: Migration, dialect: "sqlite" | "postgres"): ReadonlyArray<string> =>
  migration.statements
    .map((statement) =>
      typeof statement === "string" ? dialect === "sqlite" ? statement : forPostgres(statement) : dialect === "sqlite"
        ? statement.sqlite
        : forPostgres(statement.postgres)
    )
    .filter((statement) => statement !== "")
