/**
 * One step of a store's history, forward only. A statement is portable SQL, or one text per dialect where they differ.
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
