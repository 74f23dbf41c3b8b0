// A Socket.IO server for the comparison: rooms, no state recovery, WebSocket only. `node socketio.js PORT`
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], serveClient: false, perMessageDeflate: false, maxHttpBufferSize: 1e6 });
io.on("connection", (socket) => {
  socket.on("join", (rooms, done) => {
    socket.join(rooms);
    done();
  });
  socket.on("publish", (room, data) => io.to(room).emit("m", data));
});
http.listen(Number(process.argv[2]), "127.0.0.1", 4096);
