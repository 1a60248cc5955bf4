import { assert, describe, it } from "@effect/vitest"
import { Either, FastCheck as fc, Schema } from "effect"
import { Address } from "../src/Address.ts"
import { agents } from "../src/Agents.ts"
import { Email, Phone } from "../src/Contact.ts"
import * as Country from "../src/Country.ts"
import * as Gtin from "../src/Gtin.ts"
import * as Id from "../src/Id.ts"
import * as Instant from "../src/Instant.ts"
import { LocationId } from "../src/Location.ts"
import { OrderImport, OrderPlacement } from "../src/Order.ts"
import * as Page from "../src/Page.ts"
import { Attributes } from "../src/Product.ts"
import { Quantity, QuantityDelta } from "../src/Quantity.ts"
import { Rate } from "../src/Rate.ts"
import { Sku } from "../src/Sku.ts"
import * as Text from "../src/Text.ts"

const address = { name: "Ada", line1: "1 High Street", city: "London", postalCode: "N1 9GU", country: "GB" }

const placement = {
  currency: "GBP",
  lines: [{ sku: "85123A", qty: 6 }],
  customer: { email: "ada@example.com" },
  addresses: { shipping: address },
  paymentMethodToken: "ok"
}

const imported = {
  channel: "online-retail",
  externalRef: "536365",
  placedAt: "2010-12-01T08:26:00.000Z",
  currency: "GBP",
  lines: [{ sku: "85123A", qty: 6, unitPrice: 255 }],
  customer: { ref: "17850" },
  shipTo: address,
  paymentMethodToken: "ok"
}

const rejects = <A, I>(schema: Schema.Schema<A, I>, values: ReadonlyArray<unknown>) => {
  const decode = Schema.decodeUnknownEither(schema)
  for (const value of values) assert.isTrue(Either.isLeft(decode(value)), JSON.stringify(value))
}
const accepts = <A, I>(schema: Schema.Schema<A, I>, values: ReadonlyArray<unknown>) => {
  for (const value of values) Schema.decodeUnknownSync(schema)(value)
}

describe("Id", () => {
  it("is its prefix and 26 characters of Crockford base32", () => {
    const tail = "01HZX3J9QK8V7W6T5R4P3N2M1B"
    assert.strictEqual(tail.length, 26)
    accepts(Id.OrderId, [`ord_${tail}`])
    rejects(Id.OrderId, [
      `pay_${tail}`,
      tail,
      `ord_${tail.slice(1)}`,
      `ord_${tail}0`,
      `ord_${tail.toLowerCase()}`,
      ...["I", "L", "O", "U"].map((letter) => `ord_${letter}${tail.slice(1)}`),
      `ord_${tail}\n`,
      ` ord_${tail}`,
      "",
      null,
      7,
      {}
    ])
  })

  it("takes every text of the alphabet", () => {
    fc.assert(fc.property(
      fc.string({ unit: fc.constantFrom(...Id.alphabet), minLength: 26, maxLength: 26 }),
      (tail) => Schema.is(Id.PaymentId)(`pay_${tail}`)
    ))
  })
})

describe("Instant", () => {
  it("goes to milliseconds and back", () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 253_402_300_799_999 }), (millis) => {
      const instant = Instant.fromMillis(millis)
      return Schema.is(Instant.Instant)(instant) && Instant.toMillis(instant) === millis
    }))
  })

  it("sorts as text as it does as time", () => {
    const millis = fc.integer({ min: 0, max: 253_402_300_799_999 })
    fc.assert(fc.property(millis, millis, (a, b) => (a < b) === (Instant.fromMillis(a) < Instant.fromMillis(b))))
  })

  it("refuses other forms and days that do not exist", () => {
    rejects(Instant.Instant, [
      "2010-12-01T08:26:00Z",
      "2010-12-01T08:26:00.000+00:00",
      "2010-12-01",
      "2010-02-30T00:00:00.000Z",
      "2010-13-01T00:00:00.000Z",
      "2010-12-01T24:00:00.000Z",
      "2010-12-01T08:26:00.000Z\n",
      0,
      ""
    ])
  })
})

describe("Text", () => {
  it("has no control characters, lone surrogates or blanks only, and keeps its bounds", () => {
    accepts(Text.line(10), ["a", "0123456789", "Zoë 🕯", "' OR 1=1"])
    rejects(Text.line(10), ["", " ", "\u00a0", "01234567890", "a\nb", "a\r\nb", "a\u0000b", "\ud800", "a\u007f"])
    accepts(Text.paragraphs(20), ["a\nb\tc\r\nd"])
    rejects(Text.paragraphs(20), ["", "\n", "a\u0000", "\udc00"])
    accepts(Text.lineOrEmpty(3), ["", "abc"])
    rejects(Text.lineOrEmpty(3), ["abcd", "\n"])
  })

  it("is refused in constant time per character, however hostile", () => {
    const started = performance.now()
    const schemas: ReadonlyArray<Schema.Schema<string, string>> = [
      Text.line(200),
      Sku,
      LocationId,
      Email,
      Phone,
      Gtin.Gtin,
      Schema.encodedBoundSchema(Id.OrderId)
    ]
    for (const schema of schemas) {
      rejects(schema, ["a".repeat(1_000_000), "@".repeat(1_000_000), "a@".repeat(500_000), ".".repeat(1_000_000)])
    }
    assert.isBelow(performance.now() - started, 2000)
  })
})

describe("values", () => {
  it("keep their bounds", () => {
    accepts(Quantity, [1, 1_000_000])
    rejects(Quantity, [0, -1, 1.5, 1_000_001, "1", Number.NaN, Number.POSITIVE_INFINITY, null])
    accepts(QuantityDelta, [-1_000_000, 1])
    rejects(QuantityDelta, [0, 0.5, 1_000_001])
    accepts(Rate, [0, 2100, 10_000])
    rejects(Rate, [-1, 10_001, 0.21])
    accepts(Sku, ["85123A", "DCGS0066P", "a", "x".repeat(64)])
    rejects(Sku, ["", "x".repeat(65), "a/b", "a b", "../a", "-a", "a\n", "é", "a;drop"])
    accepts(Email, ["ada@example.com", "customer-17850@online-retail.invalid"])
    rejects(Email, ["ada", "@example.com", "a@b", "a b@c.de", "a@b.c\r\nBcc: x@y.z", `${"a".repeat(250)}@b.de`])
    accepts(Phone, ["+442079460123"])
    rejects(Phone, ["02079460123", "+0123", "+1234567890123456"])
    assert.strictEqual(Country.codes.size, 249)
    accepts(Country.Country, ["GB", "DE", "US"])
    rejects(Country.Country, ["gb", "UK", "ZZ", "", "GBR"])
    assert.strictEqual(new Set(agents).size, 15)
  })

  it("GTIN-13 950600013435 has check digit 2", () => {
    assert.strictEqual(Gtin.checkDigit("950600013435"), 2)
    accepts(Gtin.Gtin, ["9506000134352"])
    rejects(Gtin.Gtin, ["9506000134353", "950600013435", "95060001343529", "abc"])
  })

  it("an address needs no postal code where there is none, and every field is bounded", () => {
    accepts(Address, [address, { ...address, postalCode: "", residential: true }])
    rejects(Address, [
      { ...address, name: "" },
      { ...address, country: "Wonderland" },
      { ...address, city: "x".repeat(101) },
      { ...address, line1: "a\r\nX-Header: b" },
      { ...address, phone: "123" },
      []
    ])
  })

  it("attributes are bounded in number, names and values", () => {
    accepts(Attributes, [{ colour: "red" }, {}])
    rejects(Attributes, [
      Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`a${i}`, "x"])),
      { "": "x" },
      { a: "" },
      { a: { b: 1 } },
      { "a b": "x", colour: "red" }
    ])
  })
})

describe("Page", () => {
  it("a cursor decodes to the position it was made of", () => {
    fc.assert(fc.property(
      fc.array(fc.oneof(fc.string({ maxLength: 40 }), fc.maxSafeInteger()), { minLength: 1, maxLength: 4 }),
      (position) => {
        assert.deepStrictEqual(Schema.decodeSync(Page.Cursor)(Page.cursor(position)), position)
      }
    ))
  })

  it("refuses what is no cursor", () => {
    const encode = (text: string) => Buffer.from(text).toString("base64url")
    rejects(Page.Cursor, [
      "",
      "%%%",
      "not a cursor",
      ...["null", "{}", "[]", "[null]", "[{}]", "[1,2,3,4,5,6,7,8,9]", "["].map(encode),
      "A".repeat(2000)
    ])
  })

  it("ends where no row is left, and goes on behind the last item otherwise", () => {
    const page = (rows: ReadonlyArray<number>) => Page.make(rows, 2, (row) => [row], (row) => `#${row}`)
    assert.deepStrictEqual(page([]), { items: [] })
    assert.deepStrictEqual(page([1, 2]), { items: ["#1", "#2"] })
    assert.deepStrictEqual(page([1, 2, 3]), { items: ["#1", "#2"], next: Page.cursor([2]) })
  })
})

describe("an order as it comes in", () => {
  const withLines = <Line>(count: number, line: Line) => Array.from({ length: count }, () => line)

  it("is taken with 675 lines, as real invoices have, and refused with none or more than 1000", () => {
    accepts(OrderImport, [
      imported,
      { ...imported, lines: withLines(675, imported.lines[0]) },
      { ...imported, paymentMethodToken: undefined, paidByChannel: true }
    ])
    accepts(OrderPlacement, [placement, { ...placement, lines: withLines(1000, placement.lines[0]) }])
    rejects(OrderImport, [{ ...imported, lines: [] }, { ...imported, lines: withLines(10_000, imported.lines[0]) }])
    rejects(OrderPlacement, [{ ...placement, lines: [] }, { ...placement, lines: withLines(1001, placement.lines[0]) }])
  })

  it("is paid by a token or to the channel, not by both or neither", () => {
    rejects(OrderImport, [
      { ...imported, paidByChannel: true },
      { ...imported, paymentMethodToken: undefined },
      { ...imported, paymentMethodToken: undefined, paidByChannel: false }
    ])
  })

  it("has no negative, fractional or unbounded money", () => {
    for (const unitPrice of [-1, 2.55, 2 ** 53, "255", null]) {
      rejects(OrderImport, [{ ...imported, lines: [{ sku: "85123A", qty: 1, unitPrice }] }])
    }
    for (const expectedTotal of [-1, 0.5, 2 ** 53]) rejects(OrderPlacement, [{ ...placement, expectedTotal }])
  })

  it("is never taken with any field of a wrong type", () => {
    const wrong = [null, [], {}, "", "\u0000", -1, 0.5, true, "x".repeat(100_000)]
    for (const field of ["currency", "lines", "customer", "addresses", "paymentMethodToken"]) {
      for (const value of wrong) rejects(OrderPlacement, [{ ...placement, [field]: value }])
    }
    for (const field of ["channel", "externalRef", "placedAt", "currency", "lines", "shipTo", "paymentMethodToken"]) {
      for (const value of wrong) rejects(OrderImport, [{ ...imported, [field]: value }])
    }
  })
})
