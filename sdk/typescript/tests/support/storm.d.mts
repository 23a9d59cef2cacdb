import type { WebSocket } from "ws";

import type { EmitClient } from "../../src/client/index.js";

export interface StormOptions {
  EmitClient: typeof EmitClient;
  WebSocket: typeof WebSocket;
  binary: string;
  clients?: number;
  rooms?: number;
  roomsOfClient?: number;
  messagesPerS?: number;
  seconds?: number;
  cutMs?: number;
  cutsPerS?: number;
  nodes?: number;
  killEveryMs?: number;
  redis?: { url: string; disturb?: (random: () => number) => Promise<unknown> };
  redisEveryMs?: number;
  seed?: number;
  settings?: string[];
  command?: (node: { port: number; apiPort: number }) => [binary: string, args: string[]];
  log?: (line: string) => void;
}

export interface StormCounts {
  sent: number;
  received: number;
  cuts: number;
  kills: number;
  /** Nodes that have ended by themselves. */
  crashes: number;
  disturbances: number;
  resumed: number;
  newSessions: number;
  recovered: number;
  declared: number;
  gaps: number;
  declaredLate: number;
  falseRecovered: number;
  doubles: number;
  behind: number;
}

export function storm(options: StormOptions): Promise<StormCounts>;
