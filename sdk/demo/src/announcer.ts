// Reads new messages out to screen readers: one by one when few come, as a number when many do. History is not read out.

import { byId, element } from "./dom.js";

const GATHER_MS = 1_000;
const SPOKEN_MAX = 2;

export class Announcer {
  readonly #element = byId("announcer");
  #waiting: string[] = [];

  announce(user: string, text: string): void {
    this.#waiting.push(`${user}: ${text.slice(0, 300)}`);
    if (this.#waiting.length === 1) setTimeout(() => this.#speak(), GATHER_MS);
  }

  #speak(): void {
    const spoken = this.#waiting.length > SPOKEN_MAX ? [`${this.#waiting.length} new messages`] : this.#waiting;
    this.#waiting = [];
    this.#element.append(...spoken.map((line) => element("p", "", line)));
    while (this.#element.childElementCount > 10) this.#element.firstElementChild?.remove();
  }
}
