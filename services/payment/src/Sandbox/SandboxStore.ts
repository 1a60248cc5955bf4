import { openWriter } from "@holdfast/database/SqliteConnection"
import * as StoreFolder from "@holdfast/database/StoreFolder"
import { join } from "node:path"

/** Money at the gateway, for one authorisation; amounts in minor units. */
export interface Charge {
  readonly ref: string
  readonly paymentId: string
  readonly token: string
  readonly currency: string
  readonly state: "challenged" | "authorized" | "declined" | "cancelled"
  readonly authorized: number
  readonly captured: number
  readonly voided: number
  readonly refunded: number
}

/** A call by its idempotency key, with its first result. `outcome` is JSON, good from `readyAt` on. */
export interface Request {
  readonly key: string
  readonly ref: string
  readonly kind: string
  readonly fingerprint: string
  readonly token: string
  readonly calls: number
  readonly outcome: string | null
  readonly readyAt: number
}

/** A webhook to be delivered. */
export interface Delivery {
  readonly id: string
  readonly eventId: string
  readonly body: string
  readonly dueAt: number
  readonly tries: number
}

const schema = `
  create table if not exists setting (name text primary key, value text not null);
  create table if not exists charge (
    ref text primary key, paymentId text not null, token text not null, currency text not null, state text not null,
    authorized integer not null, captured integer not null, voided integer not null, refunded integer not null,
    check (captured + voided <= authorized), check (refunded <= captured)
  );
  create index if not exists charge_payment on charge (paymentId);
  create table if not exists request (
    key text primary key, ref text not null unique, kind text not null, fingerprint text not null, token text not null,
    calls integer not null, outcome text, readyAt integer not null
  );
  create table if not exists delivery (
    id text primary key, eventId text not null, body text not null, dueAt integer not null, tries integer not null,
    deliveredAt integer
  );
  create index if not exists delivery_due on delivery (dueAt) where deliveredAt is null;
`

/**
 * The sandbox's memory in a file of its own: as a real gateway's, it outlives our process, however that ends. A power cut
 * may cost its last moments, which is what `synchronous = NORMAL` saves.
 */
export const open = (directory: string) => {
  StoreFolder.make(directory)
  const connection = openWriter(join(directory, "sandbox-gateway.sqlite"))
  connection.pragma("synchronous = NORMAL")
  connection.exec(schema)
  const getCharge = connection.prepare<[string], Charge>("select * from charge where ref = ?")
  const chargesOf = connection.prepare<[string], Charge>("select * from charge where paymentId = ?")
  const putCharge = connection.prepare<[Charge]>(
    "insert or replace into charge values " +
      "(@ref, @paymentId, @token, @currency, @state, @authorized, @captured, @voided, @refunded)"
  )
  const getRequest = connection.prepare<[string], Request>("select * from request where key = ?")
  const getRequestByRef = connection.prepare<[string], Request>("select * from request where ref = ?")
  const putRequest = connection.prepare<[Request]>(
    "insert or replace into request values (@key, @ref, @kind, @fingerprint, @token, @calls, @outcome, @readyAt)"
  )
  const putDelivery = connection.prepare<[Delivery]>(
    "insert or ignore into delivery values (@id, @eventId, @body, @dueAt, @tries, null)"
  )
  const getDelivery = connection.prepare<[string], Delivery>(
    "select * from delivery where id = ? and deliveredAt is null"
  )
  const dueDeliveries = connection.prepare<[number], Delivery>(
    "select * from delivery where deliveredAt is null and dueAt <= ? order by dueAt, id limit 100"
  )
  const nextDelivery = connection.prepare<[], { readonly dueAt: number | null }>(
    "select min(dueAt) as dueAt from delivery where deliveredAt is null"
  )
  const delivered = connection.prepare<[number, string]>("update delivery set deliveredAt = ? where id = ?")
  const postponed = connection.prepare<[number, string]>(
    "update delivery set tries = tries + 1, dueAt = ? where id = ?"
  )
  const getSetting = connection.prepare<[string], { readonly value: string }>(
    "select value from setting where name = ?"
  )
  const putSetting = connection.prepare<[string, string]>("insert into setting values (?, ?)")
  return {
    charge: (ref: string) => getCharge.get(ref),
    chargesOf: (paymentId: string) => chargesOf.all(paymentId),
    putCharge: (charge: Charge) => void putCharge.run(charge),
    request: (key: string) => getRequest.get(key),
    requestByRef: (ref: string) => getRequestByRef.get(ref),
    putRequest: (request: Request) => void putRequest.run(request),
    putDelivery: (delivery: Delivery) => void putDelivery.run(delivery),
    delivery: (id: string) => getDelivery.get(id),
    due: (now: number) => dueDeliveries.all(now),
    nextDue: () => nextDelivery.get()?.dueAt ?? undefined,
    delivered: (id: string, at: number) => void delivered.run(at, id),
    postponed: (id: string, until: number) => void postponed.run(until, id),
    setting: (name: string, make: () => string): string => {
      const known = getSetting.get(name)?.value
      if (known !== undefined) return known
      const value = make()
      putSetting.run(name, value)
      return value
    },
    transaction: <A>(run: () => A): A => connection.transaction(run).immediate(),
    close: () => void connection.close()
  }
}
export type SandboxStore = ReturnType<typeof open>
