// One hash under both names: what the order agent hashes, the fraud agent's lists must recognise.
export { developmentKey, hash as of } from "./Identifier.ts"
