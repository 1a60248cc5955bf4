import { mkdirSync, statSync } from "node:fs"
import { dirname, resolve } from "node:path"

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

const makeAt = (path: string): void => {
  if (isFolder(path)) return
  const above = dirname(path)
  if (above !== path) makeAt(above)
  try {
    mkdirSync(path)
  } catch (error) {
    // Another agent may have been quicker.
    if (!isFolder(path)) throw error
  }
}

/**
 * Makes the folder of stores with all that are missing above it, and throws what the system says where it cannot. One by
 * one: Node's own `recursive` never returns where a folder takes no others and says that it does not exist (`/proc`).
 *
 * @category constructors
 */
export const make = (directory: string): void => makeAt(resolve(directory))
