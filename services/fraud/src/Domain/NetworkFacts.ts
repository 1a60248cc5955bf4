import type { Country } from "@holdfast/contracts/Country"

export type NetworkKind = "ordinary" | "proxy" | "vpn" | "tor" | "hosting"

export interface NetworkFacts {
  readonly country: Country
  readonly kind: NetworkKind
}

/**
 * The sandbox of the IP facts port: what is "known" of the networks that RFC 5737 and RFC 3849 set aside for examples, by
 * the prefix that travels in an order's features (/24, /48).
 */
const sandbox: ReadonlyMap<string, NetworkFacts> = new Map<string, NetworkFacts>([
  ["192.0.2.0/24", { country: "GB", kind: "ordinary" }],
  ["198.51.100.0/24", { country: "NL", kind: "hosting" }],
  ["203.0.113.0/24", { country: "RU", kind: "tor" }],
  ["2001:db8:0:0:0:0:0:0/48", { country: "GB", kind: "ordinary" }],
  ["2001:db8:1:0:0:0:0:0/48", { country: "DE", kind: "ordinary" }],
  ["2001:db8:2:0:0:0:0:0/48", { country: "US", kind: "vpn" }],
  ["2001:db8:3:0:0:0:0:0/48", { country: "US", kind: "proxy" }]
])

/** What is known of a network, by its canonical prefix. */
export const ofPrefix = (prefix: string): NetworkFacts | undefined => sandbox.get(prefix)
