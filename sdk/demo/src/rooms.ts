// The rooms that this browser visited, and the way to another one. A room is its address: links, history and
// bookmarks work by themselves.

import { channelOf, hashOf, roomOf } from "./address.js";
import { byId, element } from "./dom.js";
import { store } from "./store.js";

export class Rooms {
  readonly #list = byId("rooms");

  constructor() {
    byId("open-room").onsubmit = (event) => {
      event.preventDefault();
      const input = byId<HTMLInputElement>("room-name");
      location.hash = hashOf(channelOf(input.value));
      input.value = "";
    };
  }

  draw(current: string): void {
    store.visit(current);
    const channels = [...new Set(["room:lobby", ...store.channels.sort()])];
    this.#list.replaceChildren(...channels.map((channel) => roomItem(channel, channel === current)));
  }
}

function roomItem(channel: string, isCurrent: boolean): HTMLElement {
  const link = element("a", "", `# ${roomOf(channel)}`);
  link.href = hashOf(channel);
  if (isCurrent) link.ariaCurrent = "page";
  return element("li", "", link);
}
