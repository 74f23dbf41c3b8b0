// Says how the connection is, when it is worth saying.

import type { ConnectionState } from "../../typescript/src/index.js";
import { button, byId } from "./dom.js";

export class Banner {
  readonly #element = byId("banner");
  readonly #retry: () => void;
  #wasLost = false;
  #timer = 0;

  constructor(retry: () => void) {
    this.#retry = retry;
  }

  show(state: ConnectionState): void {
    clearTimeout(this.#timer);
    switch (state.name) {
      case "connecting":
        // A first connection is quick: no flash of a banner.
        if (!this.#wasLost) this.#timer = setTimeout(() => this.#say("Connecting…"), 400);
        return;
      case "connected":
        if (this.#wasLost) this.#say("Connected again", "good");
        else this.#clear();
        this.#wasLost = false;
        this.#timer = setTimeout(() => this.#clear(), 2_000);
        return;
      case "disconnected":
        this.#wasLost = true;
        return this.#say("Connection lost. Trying again…", "", button("Try now", this.#retry));
      case "closed":
        this.#wasLost = true;
        return this.#say(`Disconnected: ${state.reason.message}`, "", button("Connect", this.#retry));
    }
  }

  #say(text: string, tone = "", ...controls: Node[]): void {
    this.#element.className = `banner ${tone}`;
    // Only a change is announced, so the same text stays untouched.
    if (this.#element.firstChild?.textContent !== text) this.#element.replaceChildren(text, ...controls);
  }

  #clear(): void {
    this.#element.replaceChildren();
  }
}
