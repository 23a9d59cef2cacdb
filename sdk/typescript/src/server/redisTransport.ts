/**
 * Dispatches through Redis, in the format of the original Mesa. Original servers receive the messages, and so do
 * Switchboard nodes that have the Mesa protocol enabled.
 */

import type { CallOptions } from "../core/timeout.js";
import { legacyAudience, type LegacyAudience } from "./audience.js";
import { DispatchEvent } from "./dispatchEvent.js";
import { UnsupportedError } from "./errors.js";
import type { DispatcherOptions } from "./options.js";
import { namespaced, RedisConnection, type RedisAddress } from "./redisConnection.js";
import type { DisconnectRequest, DispatchRequest, DispatchResult, Transport } from "./transport.js";

const NORMAL_CLOSURE = 1000;

/**
 * Publishes to online users and stores for offline ones. One script does both, so no user logs in or out between.
 * The same code as the Rust dispatcher's, `crates/redis/src/legacy/mesa/dispatch.lua`.
 *
 * KEYS: the set of connected users, the hash of stored messages. ARGV: channel, message, 1 to store, user ids.
 * Returns the number of users for which the message was stored.
 */
export const DELIVER_OR_STORE = `local online, stored = {}, 0

local function store(user)
  local list = redis.call('HGET', KEYS[2], user)
  local rest = list and list:match('^%s*%[(.*)%]%s*$')
  if rest and rest:match('%S') then
    redis.call('HSET', KEYS[2], user, '[' .. rest .. ',' .. ARGV[2] .. ']')
  else
    redis.call('HSET', KEYS[2], user, '[' .. ARGV[2] .. ']')
  end
  stored = stored + 1
end

for i = 4, #ARGV do
  local user = ARGV[i]
  if ARGV[3] ~= '1' or redis.call('SISMEMBER', KEYS[1], user) == 1 then
    online[#online + 1] = cjson.encode(user)
  else
    store(user)
  end
end
if #online > 0 then
  local recipients = '[' .. table.concat(online, ',') .. ']'
  redis.call('PUBLISH', ARGV[1], '{"message":' .. ARGV[2] .. ',"recipients":' .. recipients .. '}')
end
return stored
`;

export class RedisTransport implements Transport {
  readonly #redis: RedisConnection;
  readonly #channel: string;
  readonly #keys: readonly [string, string];

  constructor(address: RedisAddress, { namespace }: DispatcherOptions) {
    this.#redis = new RedisConnection(address);
    this.#channel = namespaced("ws", namespace);
    this.#keys = [namespaced("connected_clients", namespace), namespaced("undelivered_messages", namespace)];
  }

  async send({ content, to, except, store, policy = "live" }: DispatchRequest, options: CallOptions): Promise<DispatchResult> {
    if (policy !== "live") throw new UnsupportedError("through Redis messages are live; pass the address of the HTTP API instead");
    const audience = legacyAudience(to, except);
    const message = content.serialize();
    // `*` addresses everyone who is online, so nothing is stored for it.
    if (!store || to.everyone || !audience.recipients.length) return this.#publish(message, audience, options);
    // EVAL, not EVALSHA: loading a missing script first would let later commands overtake this one.
    const args = [this.#channel, message, "1", ...audience.recipients];
    const inboxes = await this.#redis.run((client) => client.eval(DELIVER_OR_STORE, 2, ...this.#keys, ...args), options);
    return { inboxes: Number(inboxes) };
  }

  async disconnect(request: DisconnectRequest, options: CallOptions): Promise<DispatchResult> {
    const { to, except, code = NORMAL_CLOSURE, reason = "" } = request;
    if (code !== NORMAL_CLOSURE || reason) {
      throw new UnsupportedError("through Redis sockets close with 1000 and no reason; pass the address of the HTTP API instead");
    }
    return this.#publish(new DispatchEvent("DISCONNECT_CLIENT").serialize(), legacyAudience(to, except), options);
  }

  close(): Promise<void> {
    return this.#redis.close();
  }

  /** Publishes a message, unless the audience is empty. */
  async #publish(message: string, audience: LegacyAudience, options: CallOptions): Promise<DispatchResult> {
    if (!audience.recipients.length) return {};
    const text = `{"message":${message},${JSON.stringify(audience).slice(1)}`;
    await this.#redis.runOnMaster((client) => client.publish(this.#channel, text), options);
    return {};
  }
}
