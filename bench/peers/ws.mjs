// npm `ws` as an emit server with just the events of the scenarios. node ws.mjs HOST:PORT
import { WebSocketServer } from "ws";

const [host, port] = process.argv[2].split(":");
const rooms = new Map();
const server = new WebSocketServer({ host, port: Number(port) });

server.on("connection", (socket) => {
  const joined = new Set();
  const ack = (ackId, data) => ackId && socket.send(JSON.stringify({ type: "ack", ackId, data }));
  socket.on("message", (text) => {
    const { event, data, ackId } = JSON.parse(text);
    if (event === "/join") {
      if (!rooms.has(data.room)) rooms.set(data.room, new Set());
      rooms.get(data.room).add(socket);
      joined.add(data.room);
      ack(ackId, { joined: data.room });
    } else if (event === "/message") {
      const frame = JSON.stringify({ event: "message", data });
      for (const member of rooms.get(data.room) ?? []) if (member !== socket) member.send(frame);
    } else if (event === "/ping") {
      ack(ackId, { pong: true });
    }
  });
  socket.on("close", () => {
    for (const room of joined) rooms.get(room)?.delete(socket);
  });
});
server.on("listening", () => console.log(`listening on ws://${host}:${port}`));
