import type { Features, ListName } from "@holdfast/contracts/Fraud"
import { type Kind, network } from "@holdfast/contracts/Identifier"
import type { Identifier, SubjectKind } from "./Window.ts"

/** What an identifier is to an order. `customer` is the customer, or a guest by e-mail. */
export type Role = Exclude<Kind, "cidr"> | "billingAddress"

/** An identifier of an order in its role. */
export interface Shown {
  readonly role: Role
  readonly hash: string
}

/** Hashes of the kinds that reach this agent in clear: the fingerprint of a card, the networks of an IP address. */
export type HashOf = (kind: "cardFp" | "cidr", value: string) => string

/** The identifiers that an order shows. */
export const ofFeatures = (
  { billingAddress, card, customer, device, email, ip, phoneHash, shippingAddress }: Features,
  hashOf: HashOf
): ReadonlyArray<Shown> => {
  const fingerprint = card?.fingerprint
  const found: ReadonlyArray<readonly [Role, string | undefined]> = [
    ["customer", customer?.hash ?? email?.hash],
    ["email", email?.hash],
    ["phone", phoneHash],
    ["ip", ip?.hash],
    ["device", device?.hash],
    ["address", shippingAddress?.hash],
    ["billingAddress", billingAddress?.hash],
    ["cardFp", fingerprint === undefined ? undefined : hashOf("cardFp", fingerprint)]
  ]
  return found.flatMap(([role, hash]) => hash === undefined ? [] : [{ role, hash }])
}

/** The kind under which an identifier in a role stands on lists. */
export const kindOf = (role: Role): Kind => role === "billingAddress" ? "address" : role

const subjectKinds: ReadonlySet<string> = new Set<SubjectKind>(["customer", "device", "ip", "cardFp", "address"])
const isSubjectKind = (role: Role): role is SubjectKind => subjectKinds.has(role)

/** The identifiers that counters are kept for. */
export const subjects = (shown: ReadonlyArray<Shown>): ReadonlyArray<Identifier> =>
  shown.flatMap(({ hash, role }) => isSubjectKind(role) ? [{ kind: role, hash }] : [])

/** The identifiers that carry the memory of fraud on to other orders (R17). */
export const traceable: ReadonlyArray<Role> = ["customer", "cardFp", "device", "address", "billingAddress"]

/** The networks that a listed one may be, from the whole of what is known of an address to the largest that can be listed. */
const networksAround = (prefix: string): ReadonlyArray<string> => {
  const [from, to] = prefix.includes(":") ? [16, 48] : [8, 24]
  return Array.from({ length: to - from + 1 }, (_, index) => network(prefix, to - index)).filter((one) =>
    one !== undefined
  )
}

/** Whether a network can be recognised by what orders tell of their IP addresses. */
export const canBeListed = (cidr: string): boolean => {
  const prefix = /^([^/]+)\/(\d{1,3})$/.exec(cidr.trim())
  if (prefix === null) return false
  const [, address = "", length = ""] = prefix
  const [from, to] = address.includes(":") ? [16, 48] : [8, 24]
  return Number(length) >= from && Number(length) <= to && network(address, Number(length)) !== undefined
}

/** Where to look an order up on the lists. */
export const listable = (
  shown: ReadonlyArray<Shown>,
  prefix: string | undefined,
  hashOf: HashOf
): ReadonlyArray<{ readonly kind: Kind; readonly hash: string }> => [
  ...shown.map(({ hash, role }) => ({ kind: kindOf(role), hash })),
  ...(prefix === undefined ? [] : networksAround(prefix)).map((one) => ({
    kind: "cidr" as const,
    hash: hashOf("cidr", one)
  }))
]

interface Entry {
  readonly list: ListName
  readonly kind: Kind
  readonly valueHash: string
  readonly expiresAt: number | null
}

/** The entries that are in force at `now` and name one of the identifiers, in a fixed order. */
export const listed = (
  wanted: ReadonlyArray<{ readonly kind: Kind; readonly hash: string }>,
  entries: ReadonlyArray<Entry>,
  now: number
): ReadonlyArray<{ readonly list: ListName; readonly kind: Kind }> => {
  const found = new Map<string, { readonly list: ListName; readonly kind: Kind }>()
  for (const { expiresAt, kind, list, valueHash } of entries) {
    if (expiresAt !== null && expiresAt <= now) continue
    if (wanted.some((one) => one.kind === kind && one.hash === valueHash)) found.set(`${list} ${kind}`, { list, kind })
  }
  return [...found].sort(([a], [b]) => a < b ? -1 : 1).map(([, entry]) => entry)
}
