/**
 * Servers with the Mesa protocol, their users, and the original package.
 */

import { createRequire } from "node:module";
import { WebSocket } from "ws";

import { Client, type Message } from "../../src/mesa/index.js";
import { signToken } from "../../src/server/index.js";
import { ReceiveQueue } from "./receiveQueue.js";
import type { RedisServer } from "./redis.js";
import { startServer, type Server } from "./server.js";

/** The original Cryb Mesa of npm. */
export const original = createRequire(import.meta.url)("@cryb/mesa") as typeof import("@cryb/mesa");

export const SECRET = "a secret of the tests, long enough for HS256";

/** Starts a node on this Redis with the Mesa protocol enabled for the namespace `api`. */
export async function startMesa(redis: RedisServer, settings: readonly string[] = []): Promise<Server> {
  const mesa = ["mesa.enabled=true", "mesa.listen=127.0.0.1:0", "mesa.namespace=api"];
  return startServer({ settings: [...mesa, `auth.jwt_secret=${SECRET}`, `redis.url=${redis.url}`, ...settings] });
}

/** Closes the Redis connections of an object of the original, which has no method for it. */
export function closeRedisConnections(original: object): void {
  for (const member of Object.values(original) as ({ disconnect?: () => void } | null)[]) member?.disconnect?.();
}

export interface User {
  readonly client: Client;
  readonly messages: ReceiveQueue<Message>;
  readonly closed: Promise<number>;
}

/** A user with an authenticated client. */
export async function login(url: string, id: string): Promise<User> {
  const client = new Client(url, { WebSocket, reconnect: false });
  const messages = new ReceiveQueue<Message>();
  client.on("message", messages.put);
  const closed = new Promise<number>((resolve) => client.on("disconnected", (code) => resolve(code)));
  await client.authenticate({ token: signToken({ id }, SECRET, { expiresIn: "1h" }) });
  return { client, messages, closed };
}
