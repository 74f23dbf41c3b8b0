// A plain `ws` server for the comparison: /sub/CHANNEL,… receives what /pub/CHANNEL sends. `node ws.js PORT`
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const rooms = new Map();
const http = createServer();
const server = new WebSocketServer({ server: http, perMessageDeflate: false });
server.on("connection", (socket, request) => {
  const [, verb, names] = request.url.split("/");
  if (verb === "pub") {
    socket.on("message", (data) => {
      for (const member of rooms.get(names) ?? []) member.send(data, { binary: false });
    });
    return;
  }
  for (const name of names.split(",")) {
    if (!rooms.has(name)) rooms.set(name, new Set());
    rooms.get(name).add(socket);
    socket.on("close", () => rooms.get(name).delete(socket));
  }
});
http.listen(Number(process.argv[2]), "127.0.0.1", 4096);
