import { RateLimiter } from "@holdfast/cache/RateLimiter"
import * as Redis from "@holdfast/cache/Redis"
import * as PostgresWatch from "@holdfast/database/PostgresWatch"
import * as Replicated from "@holdfast/database/Replicated"
import * as Sqlite from "@holdfast/database/Sqlite"
import * as EmbeddedBus from "@holdfast/messaging/EmbeddedBus"
import type { EventBus } from "@holdfast/messaging/EventBus"
import * as KafkaBus from "@holdfast/messaging/KafkaBus"
import * as KafkaConfig from "@holdfast/messaging/KafkaConfig"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type AgentConfig, fallbackOf } from "./AgentConfig.ts"
import type { OpenStore } from "./AgentRuntime.ts"

/**
 * The stores as they are configured: Postgres with its shadow, watched by one session of the process, or a file alone.
 *
 * @category constructors
 */
export const stores = (config: AgentConfig, instance: string): Effect.Effect<OpenStore, never, Scope.Scope> =>
  Option.match(config.postgres, {
    onNone: () =>
      Effect.succeed<OpenStore>(({ migrations, name }) =>
        Sqlite.layer({ agent: name, directory: config.dataDir, migrations })
      ),
    onSome: ({ ssl, url }) => {
      const postgres = { url, tls: ssl }
      return Effect.map(
        PostgresWatch.make(postgres),
        (watch): OpenStore => ({ migrations, name, tables }) =>
          Replicated.layer({
            agent: name,
            directory: config.dataDir,
            migrations,
            tables,
            postgres,
            watch,
            instance,
            fallback: fallbackOf(config, name),
            maxBacklog: config.backlog.maxOperations,
            maxBacklogAge: config.backlog.maxAge
          })
      )
    }
  })

/**
 * The bus as it is configured: Kafka, or the agents' own outboxes.
 *
 * @category layers
 */
export const bus = (config: AgentConfig): Layer.Layer<EventBus> =>
  Option.match(config.kafka, {
    onNone: () => EmbeddedBus.layer,
    onSome: ({ brokers, sasl, session, ssl }) =>
      KafkaBus.layer(KafkaConfig.make({ brokers, sasl, ssl, timing: KafkaConfig.withSession(session) }))
  })

/**
 * Redis, watched, where it is configured.
 *
 * @category constructors
 */
export const redis = (config: AgentConfig): Effect.Effect<Redis.RedisShape | undefined, never, Scope.Scope> =>
  Option.match(config.redis, {
    onNone: () => Effect.succeed(undefined),
    onSome: Redis.make
  })

/**
 * Where requests are counted: in Redis for all processes together where it is configured, else in this process.
 *
 * @category layers
 */
export const rateLimiter = (redis: Redis.RedisShape | undefined): Layer.Layer<RateLimiter> =>
  redis === undefined
    ? RateLimiter.layerMemory()
    : Layer.provide(RateLimiter.layerRedis(), Layer.succeed(Redis.Redis, redis))
