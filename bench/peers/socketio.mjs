// npm `socket.io`, WebSocket only. node socketio.mjs HOST:PORT
import { createServer } from "node:http";
import { Server } from "socket.io";

const [host, port] = process.argv[2].split(":");
const http = createServer();
const io = new Server(http, { transports: ["websocket"], serveClient: false });

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
