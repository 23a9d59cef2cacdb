/**
 * The storm, in short: `bench/storm` runs it with 1,000 clients and for as long as one likes.
 */

import { expect, test } from "vitest";
import { WebSocket } from "ws";

import { EmitClient } from "../../src/client/index.js";
import { startRedis } from "../support/redis.js";
import { BINARY } from "../support/server.js";
import { storm } from "../support/storm.mjs";

const small = { EmitClient, WebSocket, binary: BINARY, clients: 40, rooms: 8, messagesPerS: 100, seconds: 8, cutMs: 1500, cutsPerS: 10 };
const sound = { falseRecovered: 0, doubles: 0, behind: 0 };

test("on one node that stays, every cut client resumes and no room has a hole or a copy", async () => {
  const counts = await storm({ ...small, killEveryMs: 0 });
  expect(counts).toMatchObject({ ...sound, newSessions: 40, gaps: 0 });
  expect(counts.resumed).toBeGreaterThan(0);
  expect(counts.recovered).toBeGreaterThan(counts.declared);
});

test("when nodes are killed and Redis is emptied and paused, no client has a hole of which it was not told", async () => {
  const redis = await startRedis();
  try {
    const disturb = async (random: () => number) => {
      if (random() < 0.5) await redis.client.flushall();
      else await redis.client.call("CLIENT", "PAUSE", "500", "ALL");
    };
    const counts = await storm({ ...small, nodes: 2, killEveryMs: 3000, redis: { url: redis.url, disturb }, redisEveryMs: 2000 });
    expect(counts).toMatchObject(sound);
    expect(Math.min(counts.kills, counts.disturbances)).toBeGreaterThan(0);
  } finally {
    await redis.stop();
  }
});
