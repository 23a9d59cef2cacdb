// npm `socket.io`, WebSocket only. node socketio.mjs HOST:PORT [REDIS [sharded]]
import { createServer } from "node:http";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const [address, redis, sharded] = process.argv.slice(2);
const [host, port] = address.split(":");
const http = createServer();
const io = new Server(http, { transports: ["websocket"], serveClient: false, adapter: await adapter() });

async function adapter() {
  if (!redis) return undefined;
  const publisher = createClient({ url: `redis://${redis}` });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  // The sharded adapter has a channel per room; a node subscribes only to the rooms of its sockets.
  if (sharded) return createShardedAdapter(publisher, subscriber, { subscriptionMode: "dynamic" });
  return createAdapter(publisher, subscriber);
}

io.on("connection", (socket) => {
  socket.on("/join", (data, ack) => {
    socket.join(data.room);
    ack?.({ joined: data.room });
  });
  socket.on("/leave", (data, ack) => {
    socket.leave(data.room);
    ack?.({ left: data.room });
  });
  socket.on("/message", (data) => socket.to(data.room).emit("message", data));
  socket.on("/ping", (_data, ack) => ack?.({ pong: true }));
});
http.listen(Number(port), host, () => console.log(`listening on ws://${host}:${port}`));
