// A node of npm `socket.io` with the Redis Streams adapter and connection state recovery, WebSocket only, and an HTTP endpoint that
// sends to a room. node socketio-node.mjs PORT API_PORT REDIS_URL

import { createServer } from "node:http";

import { createAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const [port, apiPort, redisUrl] = process.argv.slice(2);

const redis = createClient({ url: redisUrl });
redis.on("error", () => {});
await redis.connect();

const http = createServer();
const io = new Server(http, {
  transports: ["websocket"],
  serveClient: false,
  // As many messages as the rooms of the other server keep, altogether.
  adapter: createAdapter(redis, { maxLen: 1_000_000 }),
  connectionStateRecovery: { maxDisconnectionDuration: 60_000 },
});
io.on("connection", (socket) => {
  socket.on("/join", ({ room }, ack) => {
    socket.join(room);
    ack({ joined: room });
  });
});

createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => (body += chunk));
  request.on("end", () => {
    const { event, data, to } = JSON.parse(body);
    io.to(to.rooms).emit(event, data);
    response.end("{}");
  });
}).listen(Number(apiPort), "127.0.0.1");
http.listen(Number(port), "127.0.0.1", () => console.log(`listening on 127.0.0.1:${port} `));
// The adapter rejects while Redis is away.
process.on("unhandledRejection", () => {});
