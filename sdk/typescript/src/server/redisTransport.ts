/**
 * Dispatching through Redis, by the original Mesa's names: original servers hear it, and nodes of Switchboard whose
 * Mesa door is open.
 */

import type { CallOptions } from "../core/timeout.js";
import { legacyRecipients } from "./audience.js";
import type { DispatcherOptions } from "./options.js";
import { UnsupportedError } from "./errors.js";
import { DispatchEvent } from "./dispatchEvent.js";
import { RedisConnection, namespaced, type RedisAddress } from "./redisConnection.js";
import type { DisconnectRequest, DispatchResult, DispatchRequest, Transport } from "./transport.js";

const NORMAL = 1000;

/**
 * As the Rust dispatcher has it, in `crates/redis/src/backend/originals.lua`: who is there is told, for the others
 * it is stored, and nobody comes or goes between.
 */
export const DELIVER_OR_STORE = `-- Says something as an original Mesa Dispatcher does, but in one step: to users who are there on the channel, and
-- into the list of what was missed for those who are not.
-- KEYS: who is connected, what was missed. ARGV: channel, message, 1 if it waits, users….
-- Returns for how many it waits.
local online, missed = {}, 0

-- The list is extended as it stands: to decode it would change its numbers.
local function keep(user)
  local list = redis.call('HGET', KEYS[2], user)
  local rest = list and list:match('^%s*%[(.*)%]%s*$')
  if rest and rest:match('%S') then
    redis.call('HSET', KEYS[2], user, '[' .. rest .. ',' .. ARGV[2] .. ']')
  else
    redis.call('HSET', KEYS[2], user, '[' .. ARGV[2] .. ']')
  end
  missed = missed + 1
end

for at = 4, #ARGV do
  local user = ARGV[at]
  if ARGV[3] ~= '1' or redis.call('SISMEMBER', KEYS[1], user) == 1 then
    online[#online + 1] = cjson.encode(user)
  else
    keep(user)
  end
end
if #online > 0 then
  local recipients = '[' .. table.concat(online, ',') .. ']'
  redis.call('PUBLISH', ARGV[1], '{"message":' .. ARGV[2] .. ',"recipients":' .. recipients .. '}')
end
return missed
`;

export class RedisTransport implements Transport {
  readonly #link: RedisConnection;
  readonly #channel: string;
  readonly #keys: readonly [string, string];

  constructor(address: RedisAddress, { namespace }: DispatcherOptions) {
    this.#link = new RedisConnection(address);
    this.#channel = namespaced("ws", namespace);
    this.#keys = [namespaced("connected_clients", namespace), namespaced("undelivered_messages", namespace)];
  }

  async send({ content, to, except, waits }: DispatchRequest, wait: CallOptions): Promise<DispatchResult> {
    const recipients = legacyRecipients(to, except);
    const message = content.serialize();
    if (recipients.length === 0) return {};
    // Who is everyone is nobody that could be away.
    if (!waits || to.everyone) return this.#publish(message, recipients, wait);
    // Whole, and not by its hash: a script that has to be loaded first would change the order.
    const args = [this.#channel, message, "1", ...recipients];
    const inboxes = await this.#link.ask((client) => client.eval(DELIVER_OR_STORE, 2, ...this.#keys, ...args), wait);
    return { inboxes: Number(inboxes) };
  }

  async disconnect({ to, except, code = NORMAL, reason = "" }: DisconnectRequest, wait: CallOptions): Promise<DispatchResult> {
    if (code !== NORMAL || reason) {
      throw new UnsupportedError("through Redis sockets are closed with 1000 and no reason; disconnect by HTTP");
    }
    const recipients = legacyRecipients(to, except);
    if (recipients.length === 0) return {};
    return this.#publish(new DispatchEvent("DISCONNECT_CLIENT").serialize(), recipients, wait);
  }

  close(): Promise<void> {
    return this.#link.close();
  }

  async #publish(message: string, recipients: readonly string[], wait: CallOptions): Promise<DispatchResult> {
    const text = `{"message":${message},"recipients":${JSON.stringify(recipients)}}`;
    await this.#link.ask((client) => client.publish(this.#channel, text), wait);
    return {};
  }
}
