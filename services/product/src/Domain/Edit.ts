/** The fields of an edit that are there: one that was left out must not empty what it does not name. */
export const given = <T extends object>(edit: T): { readonly [K in keyof T]?: Exclude<T[K], undefined> } =>
  // The entries that are left are those whose value is not undefined.
  Object.fromEntries(Object.entries(edit).filter(([, value]) => value !== undefined)) as {
    readonly [K in keyof T]?: Exclude<T[K], undefined>
  }
