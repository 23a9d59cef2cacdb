/**
 * Servers with a Mesa door, their users, and the original package.
 */

import { createRequire } from "node:module";
import { WebSocket } from "ws";

import { Client, type Message } from "../../src/mesa/index.js";
import { signToken } from "../../src/server/index.js";
import { ReceiveQueue } from "./receiveQueue.js";
import type { RedisServer } from "./redis.js";
import { startServer, type Server } from "./server.js";

/** Cryb Mesa as it is on npm. */
export const original = createRequire(import.meta.url)("@cryb/mesa") as typeof import("@cryb/mesa");

export const SECRET = "a secret of the tests, long enough for HS256";

/** A node that shares a Redis, with its Mesa door open for the namespace `api`. */
export async function startMesa(redis: RedisServer, settings: readonly string[] = []): Promise<Server> {
  const mesa = ["mesa.enabled=true", "mesa.listen=127.0.0.1:0", "mesa.namespace=api"];
  return startServer({ settings: [...mesa, `auth.jwt_secret=${SECRET}`, `redis.url=${redis.url}`, ...settings] });
}

/** The connections to Redis of something of the original's, which has no end of its own. */
export function disconnect(something: object): void {
  for (const member of Object.values(something) as ({ disconnect?: () => void } | null)[]) member?.disconnect?.();
}

export interface User {
  readonly client: Client;
  readonly messages: ReceiveQueue<Message>;
  readonly closed: Promise<number>;
}

/** A user whose client is connected and has logged in. */
export async function login(url: string, id: string): Promise<User> {
  const client = new Client(url, { WebSocket, reconnect: false });
  const messages = new ReceiveQueue<Message>();
  client.on("message", messages.put);
  const closed = new Promise<number>((resolve) => client.on("disconnected", (code) => resolve(code)));
  await client.authenticate({ token: signToken({ id }, SECRET, { expiresIn: "1h" }) });
  return { client, messages, closed };
}
