// The page: asks who one is, connects, and shows the room that the address names.

import { Client } from "../../typescript/src/index.js";
import { readAddress, roomOf } from "./address.js";
import { Banner } from "./banner.js";
import { byId } from "./dom.js";
import { Room } from "./room.js";
import { Rooms } from "./rooms.js";
import { store } from "./store.js";

const address = readAddress();
if (address.token !== undefined) store.token = address.token;
if (store.name === undefined && store.token === undefined) welcome();
else chat();

function welcome(): void {
  const name = byId<HTMLInputElement>("name");
  const drawRoom = () => (byId("welcome-room").textContent = `# ${roomOf(readAddress().channel)}`);
  drawRoom();
  window.onhashchange = drawRoom;
  byId("welcome").hidden = false;
  name.value = store.lastName;
  name.select();
  byId("join").onsubmit = (event) => {
    event.preventDefault();
    if (!name.value.trim()) return;
    store.name = name.value.trim();
    byId("welcome").hidden = true;
    chat();
  };
}

function chat(): void {
  byId("chat").hidden = false;
  const { name, token } = store;
  let me = name ?? "";
  const client = new Client({ url: socketUrl(), ...(token === undefined ? { user: me } : { token }) });
  const banner = new Banner(() => client.connect());
  const room = new Room(client, () => me);
  const rooms = new Rooms();
  client.on("state", (state) => {
    if (state.name === "connected") me = state.user ?? me;
    byId("me").textContent = me;
    banner.show(state);
  });
  const enter = () => {
    const { channel } = readAddress();
    byId("room-title").textContent = `# ${roomOf(channel)}`;
    document.title = `# ${roomOf(channel)} · Parlor`;
    rooms.draw(channel);
    room.enter(channel);
    if (byId("panel").matches(":popover-open")) byId("panel").hidePopover();
  };
  window.onhashchange = enter;
  byId("leave").onclick = () => {
    store.name = store.token = undefined;
    location.reload();
  };
  enter();
  client.connect();
}

function socketUrl(): string {
  const url = new URL("/v1/socket", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  return url.href;
}
