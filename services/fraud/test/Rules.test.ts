import { assert, describe, it } from "@effect/vitest"
import type { Features } from "@holdfast/contracts/Fraud"
import { FastCheck as fc } from "effect"
import * as Facts from "../src/Domain/Facts.ts"
import * as RobustZ from "../src/Domain/RobustZ.ts"
import * as RulesetV1 from "../src/Domain/RulesetV1.ts"
import * as Score from "../src/Domain/Score.ts"
import { empty, type Snapshot } from "../src/Domain/Snapshot.ts"
import { codes, HOUR, instant, MINUTE, plain, START } from "./FraudDesk.ts"

const hash = "0123456789abcdef"
const gbp = (amount: number) => ({ amount, currency: "GBP" })
const email = { hash, domain: "example.org", nameSimilarity: 90 }

interface Given {
  readonly features?: Partial<Features>
  readonly snapshot?: Partial<Snapshot>
  readonly stage?: Facts.Facts["stage"]
}

const judge = ({ features, snapshot, stage }: Given) =>
  Score.score(RulesetV1, Facts.make(stage ?? "pre_auth", plain(START, features), Facts.nothingHeard), {
    ...empty,
    ...snapshot
  })

const customer = (changes: Partial<Snapshot["customer"]>): Partial<Snapshot> => ({
  customer: { ...empty.customer, ...changes }
})
/** Ten values around 100. */
const around100 = RobustZ.spread([96, 97, 98, 99, 100, 100, 101, 102, 103, 104].map((pounds) => pounds * 100))
const counter = (key: string, n: number): Given => ({ snapshot: { counters: { [key]: n } } })
const card = { fingerprint: "card_1" }

/** For each rule: what lets it hit, with how many points, and what just does not. */
const table: ReadonlyArray<
  readonly [code: string, points: number, hits: ReadonlyArray<Given>, clears: ReadonlyArray<Given>]
> = [
  [
    "R01",
    15,
    [
      { features: { email: { ...email, domain: "mailinator.com" } } },
      { features: { email: { ...email, domain: "x.Mailinator.com" } } }
    ],
    [{ features: { email } }, { features: { email: { ...email, domain: "notmailinator.com" } } }, {}]
  ],
  [
    "R02",
    10,
    [
      { features: { email, grand: gbp(20_001) } },
      { features: { email, grand: gbp(20_001) }, snapshot: { emailFirstSeenAt: START - 24 * HOUR + 1 } },
      { features: { email: { ...email, firstSeenAt: instant(START - HOUR) }, grand: gbp(20_001) } }
    ],
    [
      { features: { email, grand: gbp(20_000) } },
      { features: { email, grand: gbp(20_001) }, snapshot: { emailFirstSeenAt: START - 24 * HOUR } },
      { features: { email: { ...email, firstSeenAt: instant(START - 25 * HOUR) }, grand: gbp(20_001) } }
    ]
  ],
  ["R03", 12, [{ features: { shippingCountry: "FR" } }], [{}]],
  [
    "R04",
    12,
    [{ features: { ip: { country: "NL" } } }, { features: { ip: { prefix: "203.0.113.0/24" } } }],
    [{ features: { ip: { country: "GB" } } }, { features: { ip: { prefix: "192.0.2.0/24" } } }]
  ],
  [
    "R05",
    18,
    [
      ...(["proxy", "vpn", "tor", "hosting"] as const).map((kind) => ({ features: { ip: { country: "GB", kind } } })),
      { features: { ip: { country: "GB", prefix: "198.51.100.0/24" } } },
      { features: { ip: { country: "GB", prefix: "2001:db8:2::/48" } } }
    ],
    [{ features: { ip: { kind: "ordinary" } } }, { features: { ip: { prefix: "2001:db8::/48" } } }]
  ],
  [
    "R06",
    15,
    [{ features: { card: { cardCountry: "US" } } }, { features: { card: { bin: "424242" } } }],
    [{ features: { card: { cardCountry: "GB" } } }, { features: { card: { bin: "40008299" } } }]
  ],
  [
    "R07",
    18,
    [{ features: { card: { avs: "both_fail" } } }],
    [{ features: { card: { avs: "both_match" } } }, { features: { card: { avs: "unchecked" } } }]
  ],
  ["R07", 8, [{ features: { card: { avs: "one_fails" } } }], []],
  [
    "R08",
    25,
    [{ features: { card: { cvc: "fail" } } }],
    [{ features: { card: { cvc: "pass" } } }, { features: { card: { cvc: "unchecked" } } }]
  ],
  [
    "R09",
    25,
    [{ features: { card }, ...counter("orders/1h/cardFp", 4) }],
    [{ features: { card }, ...counter("orders/1h/cardFp", 3) }, counter("orders/1h/cardFp", 9)]
  ],
  [
    "R09",
    18,
    [{ features: { card }, snapshot: { counters: { "orders/1h/cardFp": 3, "orders/24h/cardFp": 7 } } }],
    [{ features: { card }, snapshot: { counters: { "orders/1h/cardFp": 3, "orders/24h/cardFp": 6 } } }]
  ],
  [
    "R10",
    22,
    ["customer", "device", "ip"].map((subject) => counter(`cards/24h/${subject}`, 3)),
    ["customer", "device", "ip"].map((subject) => counter(`cards/24h/${subject}`, 2))
  ],
  [
    "R11",
    18,
    ["device", "address"].map((subject) => counter(`customers/7d/${subject}`, 4)),
    ["device", "address"].map((subject) => counter(`customers/7d/${subject}`, 3))
  ],
  [
    "R12",
    25,
    ["cardFp", "device", "ip"].map((subject) => counter(`declines/1h/${subject}`, 3)),
    ["cardFp", "device", "ip"].map((subject) => counter(`declines/1h/${subject}`, 2))
  ],
  [
    "R13",
    12,
    [
      { features: { grand: gbp(11_500) }, snapshot: customer({ orders: 10, amounts: around100 }) },
      { features: { grand: gbp(11_500) }, snapshot: { segment: { ...around100, count: 30 } } }
    ],
    [
      { features: { grand: gbp(11_000) }, snapshot: customer({ orders: 10, amounts: around100 }) },
      { features: { grand: gbp(1_000) }, snapshot: customer({ orders: 10, amounts: around100 }) },
      { features: { grand: gbp(11_500) }, snapshot: { segment: { ...around100, count: 29 } } },
      // The customer's own history speaks before the segment's.
      {
        features: { grand: gbp(50_000) },
        snapshot: {
          ...customer({ orders: 5, amounts: RobustZ.spread([40_000, 45_000, 50_000, 55_000, 60_000]) }),
          segment: { ...around100, count: 60 }
        }
      }
    ]
  ],
  [
    "R14",
    10,
    [{ features: { grand: gbp(50_001) } }, { features: { grand: { amount: 80_001, currency: "JPY" } } }],
    [
      { features: { grand: gbp(50_000) } },
      { features: { grand: gbp(50_001) }, snapshot: customer({ orders: 1 }) },
      { features: { grand: gbp(50_001), customer: { guest: false, hash, ordersBefore: 1 } } },
      { features: { grand: { amount: 80_000, currency: "JPY" } } }
    ]
  ],
  [
    "R15",
    10,
    [{ features: { lines: [{ sku: "A", qty: 1, category: "resale" }, { sku: "A", qty: 2, category: "resale" }] } }],
    [
      { features: { lines: [{ sku: "A", qty: 2, category: "resale" }, { sku: "B", qty: 2, category: "resale" }] } },
      { features: { lines: [{ sku: "A", qty: 300 }, { sku: "B", qty: 300, category: "gifts" }] } },
      { features: { lines: [{ sku: "A", qty: 300, category: "constructor" }] } }
    ]
  ],
  [
    "R16",
    8,
    [{ features: { expressShipping: true, shippingAddress: { hash } } }],
    [
      { features: { expressShipping: true, shippingAddress: { hash } }, snapshot: { addressUsedBefore: true } },
      { features: { expressShipping: false, shippingAddress: { hash } } }
    ]
  ],
  ["R17", 60, [{ snapshot: { tainted: ["device"] } }], [{}]],
  ["R18", 0, [{ snapshot: { listed: [{ list: "deny", kind: "email" }] } }], [
    { snapshot: { listed: [{ list: "watch", kind: "email" }] } }
  ]],
  [
    "R19",
    12,
    [
      { features: { shippingCountry: "FR", shippingAddress: { hash, kind: "parcel_locker" } } },
      { features: { ip: { country: "FR" }, shippingAddress: { hash, kind: "freight_forwarder" } } }
    ],
    [
      { features: { shippingAddress: { hash, kind: "parcel_locker" } } },
      { features: { shippingCountry: "FR", shippingAddress: { hash, kind: "ordinary" } } }
    ]
  ],
  [
    "R20",
    4,
    [{ features: { email: { ...email, nameSimilarity: 49 } } }],
    [
      { features: { email: { ...email, nameSimilarity: 50 } } },
      { features: { email: { ...email, nameSimilarity: 0 }, customer: { guest: false, hash } } }
    ]
  ],
  [
    "R21",
    10,
    [
      { snapshot: customer({ orders: 5, returned: 4 }) },
      { features: { customer: { guest: false, hash, ordersBefore: 5, returnRateBp: 6_001 } } }
    ],
    [
      { snapshot: customer({ orders: 5, returned: 3 }) },
      { snapshot: customer({ orders: 4, returned: 4 }) },
      { features: { customer: { guest: false, hash, ordersBefore: 5, returnRateBp: 6_000 } } }
    ]
  ],
  ["R21", 30, [{ stage: "return", snapshot: customer({ orders: 5, returned: 4 }) }], []],
  [
    "R22",
    6,
    [{
      features: {
        sessionStartedAt: instant(START - 59_999),
        lines: [{ sku: "A", qty: 1 }, { sku: "B", qty: 1 }]
      }
    }],
    [
      {
        features: { sessionStartedAt: instant(START - MINUTE), lines: [{ sku: "A", qty: 1 }, { sku: "B", qty: 1 }] }
      },
      { features: { sessionStartedAt: instant(START - 1), lines: [{ sku: "A", qty: 9 }] } },
      // A session that starts after its order is no haste but a wrong clock.
      { features: { sessionStartedAt: instant(START + 1), lines: [{ sku: "A", qty: 1 }, { sku: "B", qty: 1 }] } }
    ]
  ],
  [
    "R23",
    -25,
    [{ features: { card: { threeDs: "authenticated" } } }],
    [{ features: { card: { threeDs: "attempted" } } }, { features: { card: { threeDs: "not_used" } } }]
  ],
  [
    "R24",
    -20,
    [
      { snapshot: customer({ orders: 3, deliveredBefore60d: 3 }) },
      { features: { customer: { guest: false, hash, deliveredBefore60d: 3 } } }
    ],
    [
      { snapshot: customer({ orders: 3, deliveredBefore60d: 2 }) },
      { snapshot: customer({ orders: 4, deliveredBefore60d: 3, disputed: 1 }) },
      { features: { customer: { guest: false, hash, deliveredBefore60d: 3, disputes: 1 } } }
    ]
  ],
  ["R25", -40, [{ snapshot: { listed: [{ list: "allow", kind: "customer" }] } }], [
    { snapshot: { listed: [{ list: "deny", kind: "customer" }] } }
  ]]
]

describe("ruleset v1", () => {
  it("has the 25 rules, each known to this table", () => {
    const all = Array.from({ length: 25 }, (_, n) => `R${String(n + 1).padStart(2, "0")}`)
    assert.deepStrictEqual(RulesetV1.rules.map(({ code }) => code), all)
    assert.deepStrictEqual([...new Set(table.map(([code]) => code))], all)
  })

  it.each(table)("%s hits with %i points for its reason and for nothing less", (code, points, hits, clears) => {
    for (const given of hits) {
      const hit = judge(given).hits.find(({ rule }) => rule === code)
      assert.strictEqual(hit?.points, points, JSON.stringify(given))
    }
    for (const given of clears) {
      assert.notInclude(codes(judge(given)), code, JSON.stringify(given))
      assert.notInclude(judge(given).skipped, code)
    }
  })
})

describe("acceptance vectors (spec §23)", () => {
  const reviewed: Given = {
    features: { shippingCountry: "FR", ip: { country: "GB", kind: "vpn" }, grand: gbp(50_001) }
  }

  it("R03 + R05 + R14 = 40: review; with R24, 20: approve", () => {
    const found = judge(reviewed)
    assert.deepStrictEqual([codes(found), found.score, found.outcome], [["R03", "R05", "R14"], 40, "review"])
    const trusted = judge({
      features: { ...reviewed.features, customer: { guest: false, hash, deliveredBefore60d: 3 } }
    })
    assert.deepStrictEqual([codes(trusted), trusted.score, trusted.outcome], [
      ["R03", "R05", "R14", "R24"],
      20,
      "approve"
    ])
  })

  it("R17 + R25 = 20, floor 85: decline", () => {
    const found = judge({ snapshot: { tainted: ["cardFp"], listed: [{ list: "allow", kind: "customer" }] } })
    assert.strictEqual(found.hits.reduce((sum, hit) => sum + hit.points, 0), 20)
    assert.deepStrictEqual([found.score, found.outcome], [85, "decline"])
  })

  it("robust z of 17 and 15 in 10 11 9 10 12 10 11: 4.72 and 3.37", () => {
    const window = RobustZ.spread([10, 11, 9, 10, 12, 10, 11])
    assert.strictEqual(RobustZ.robustZ(window, 17).toFixed(2), "4.72")
    assert.strictEqual(RobustZ.robustZ(window, 15).toFixed(2), "3.37")
  })
})

describe("the score", () => {
  const some = <A>(values: fc.Arbitrary<A>) => fc.option(values, { nil: undefined })
  const country = fc.constantFrom("GB", "FR", "US")
  const defined = <A extends object>(value: A) =>
    Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined))
  const facts: fc.Arbitrary<Facts.Facts> = fc.record({
    stage: fc.constantFrom("pre_auth" as const, "post_auth" as const, "return" as const),
    channel: fc.constantFrom("web", "phone"),
    placedAt: fc.integer({ min: START, max: START + 30 * 24 * HOUR }),
    grand: fc.integer({ min: 0, max: 100_000_00 }),
    currency: fc.constantFrom("GBP", "JPY", "KWD"),
    guest: fc.boolean(),
    emailKnown: fc.boolean(),
    addressKnown: fc.boolean(),
    cardKnown: fc.boolean(),
    billingCountry: some(country),
    shippingCountry: some(country),
    ipCountry: some(country),
    cardCountry: some(country),
    ipKind: some(fc.constantFrom("ordinary" as const, "tor" as const)),
    expressShipping: some(fc.boolean()),
    avs: some(fc.constantFrom("both_match" as const, "one_fails" as const, "both_fail" as const)),
    cvc: some(fc.constantFrom("pass" as const, "fail" as const)),
    threeDs: some(fc.constantFrom("authenticated" as const, "not_used" as const)),
    nameSimilarity: some(fc.integer({ min: 0, max: 100 })),
    lineCount: some(fc.integer({ min: 1, max: 9 })),
    emailDomain: some(fc.constantFrom("example.org", "yopmail.com"))
  }).map((all) => ({ ...all, ...defined(all) }) as Facts.Facts)
  const lists = fc.subarray(
    (["deny", "allow", "watch"] as const).map((list) => ({ list, kind: "email" as const }))
  )
  const snapshot: fc.Arbitrary<Snapshot> = fc.record({
    counters: fc.dictionary(
      fc.constantFrom("orders/1h/cardFp", "orders/24h/cardFp", "cards/24h/ip", "customers/7d/device", "declines/1h/ip"),
      fc.integer({ min: 1, max: 9 })
    ),
    emailFirstSeenAt: fc.option(fc.integer({ min: START - 48 * HOUR, max: START })),
    addressUsedBefore: fc.boolean(),
    customer: fc.record({
      orders: fc.integer({ min: 0, max: 9 }),
      deliveredBefore60d: fc.integer({ min: 0, max: 5 }),
      disputed: fc.integer({ min: 0, max: 1 }),
      returned: fc.integer({ min: 0, max: 9 }),
      amounts: fc.array(fc.integer({ min: 0, max: 1_000_000 }), { maxLength: 9 }).map(RobustZ.spread)
    }),
    segment: fc.array(fc.integer({ min: 0, max: 1_000_000 }), { maxLength: 60 }).map(RobustZ.spread),
    tainted: fc.constantFrom([], ["cardFp" as const]),
    listed: lists
  })

  it("F1: the same facts, rules and snapshot give the same score, also after a round trip through JSON", () => {
    fc.assert(fc.property(facts, snapshot, (f, s) => {
      const first = Score.score(RulesetV1, f, s)
      assert.deepStrictEqual(Score.score(RulesetV1, f, s), first)
      const stored = Score.score(RulesetV1, JSON.parse(JSON.stringify(f)), JSON.parse(JSON.stringify(s)))
      assert.deepStrictEqual(stored, first)
    }))
  })

  it("F2: is the clamped sum of the points, then the floors of the hard rules", () => {
    const floors = new Map(RulesetV1.rules.map((rule) => [rule.code, rule.floor ?? 0]))
    fc.assert(fc.property(facts, snapshot, (f, s) => {
      const { hits, score } = Score.score(RulesetV1, f, s)
      const sum = hits.reduce((total, hit) => total + hit.points, 0)
      const floor = Math.max(0, ...hits.map((hit) => floors.get(hit.rule) ?? 0))
      assert.strictEqual(score, Math.max(Math.min(100, Math.max(0, sum)), floor))
    }))
  })

  it("F2: the allow list never beats the deny list nor an earlier fraud", () => {
    fc.assert(fc.property(facts, snapshot, (f, s) => {
      const { outcome } = Score.score(RulesetV1, f, s)
      if (s.tainted.length > 0 || s.listed.some(({ list }) => list === "deny")) assert.strictEqual(outcome, "decline")
    }))
  })

  it("the watch list marks and changes nothing", () => {
    fc.assert(fc.property(facts, snapshot, (f, s) => {
      const without = { ...s, listed: s.listed.filter(({ list }) => list !== "watch") }
      const marked = Score.score(RulesetV1, f, s)
      const unmarked = Score.score(RulesetV1, f, without)
      assert.strictEqual(codes(marked).includes("watch"), s.listed.length > without.listed.length)
      assert.deepStrictEqual([marked.score, marked.outcome], [unmarked.score, unmarked.outcome])
    }))
  })
})

describe("missing facts", () => {
  const web = (changes: Partial<Features>): Given => ({ features: { channel: "web", lines: [], ...changes } })

  it("a rule that lacks a fact which a web order should have is skipped and said so", () => {
    const found = judge(web({ email }))
    assert.deepStrictEqual([found.skipped, found.fallback], [["R04", "R05"], true])
  })

  it("an order agreed elsewhere has no session to miss", () => {
    const found = judge({ features: { grand: gbp(7_718_300), customer: { guest: false, hash, ordersBefore: 20 } } })
    assert.deepStrictEqual([found.skipped, found.fallback, found.outcome], [[], false, "approve"])
  })

  it("a card's answer is missed only after it was asked for", () => {
    assert.notInclude(judge(web({ email })).skipped, "R08")
    assert.includeMembers([...judge({ ...web({ email }), stage: "post_auth" }).skipped], ["R06", "R07", "R08", "R23"])
  })

  it("more than three skipped rules send an order above 300 EUR to review, not a smaller one", () => {
    const bare: Partial<Features> = { customer: { guest: false, hash, ordersBefore: 3 } }
    const outcome = (amount: number, changes: Partial<Features> = {}) =>
      judge({ ...web({ ...bare, ...changes, grand: gbp(amount) }), stage: "post_auth" }).outcome
    assert.strictEqual(outcome(30_001), "review")
    assert.strictEqual(outcome(30_000), "approve")
    const told = { avs: "both_match", cvc: "pass", threeDs: "not_used", cardCountry: "GB", fingerprint: "x" } as const
    assert.strictEqual(outcome(30_001, { card: told, email }), "approve")
  })

  it("the payment agent's answer fills what the features leave out", () => {
    const facts = Facts.make("post_auth", plain(START, { card: { cvc: "pass" } }), {
      cardKnown: false,
      card: { cvc: "fail", avs: "both_fail" }
    })
    assert.deepStrictEqual([facts.cvc, facts.avs], ["pass", "both_fail"])
  })
})
