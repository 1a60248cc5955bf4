import * as Migration from "@holdfast/database/Migration"

/** Unique indexes are the last word on slugs, skus and GTINs (invariant C1), and on prices that begin together (C3). */
export const initial = Migration.make("0001_initial", [
  `create table product (
    id text primary key,
    slug text not null unique,
    type text not null check (type in ('simple', 'variable', 'bundle', 'digital')),
    state text not null check (state in ('draft', 'active', 'suspended', 'discontinued', 'archived')),
    published_channels json not null,
    created_at text not null,
    updated_at text not null,
    version bigint not null
  )`,
  "create index product_updated on product (updated_at, id)",
  `create table product_content (
    product_id text primary key,
    title json not null,
    description json,
    brand text,
    category_ids json,
    attributes json,
    media json,
    tax_class text,
    words text not null,
    tags text not null
  )`,
  `create table variant (
    id text primary key,
    product_id text not null,
    sku text not null unique,
    position bigint not null,
    gtin text unique,
    options json,
    weight_grams bigint check (weight_grams >= 0),
    dims json,
    hs_code text,
    origin_country text,
    hazmat_class text,
    shelf_life_days bigint,
    return_policy_code text,
    quality_plan_code text,
    lot_tracked boolean not null,
    serial_tracked boolean not null,
    backorder_allowed boolean not null,
    backorder_limit bigint not null check (backorder_limit >= 0),
    version bigint not null
  )`,
  "create index variant_product on variant (product_id, position)",
  `create table bundle_item (
    variant_id text not null,
    component_sku text not null,
    position bigint not null,
    qty bigint not null check (qty > 0),
    primary key (variant_id, component_sku)
  )`,
  `create table price (
    id text primary key,
    variant_id text not null,
    channel text,
    customer_group text,
    currency text not null,
    amount bigint not null check (amount >= 0),
    compare_at bigint check (compare_at >= 0),
    min_qty bigint not null check (min_qty > 0),
    valid_from text not null,
    valid_to text,
    check (valid_to is null or valid_to > valid_from)
  )`,
  "create unique index price_slot on price (variant_id, coalesce(channel, ''), coalesce(customer_group, ''), currency, min_qty, valid_from)"
])
