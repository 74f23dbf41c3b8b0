// Who is typing: told by signals, forgotten when they stop coming.

import { byId } from "./dom.js";

const TELL_EVERY_MS = 2_500;
const FORGET_AFTER_MS = 5_000;
const NAMED_MAX = 3;

export class Typing {
  readonly #element = byId("typing");
  readonly #timers = new Map<string, number>();
  #toldAt = -Infinity;

  /** Whether it is time to tell the others that one types. */
  mayTell(): boolean {
    if (performance.now() - this.#toldAt < TELL_EVERY_MS) return false;
    this.#toldAt = performance.now();
    return true;
  }

  /** One's message went out: the next letter is told at once. */
  sent(): void {
    this.#toldAt = -Infinity;
  }

  heard(user: string): void {
    clearTimeout(this.#timers.get(user));
    this.#timers.set(user, setTimeout(() => this.stopped(user), FORGET_AFTER_MS));
    this.#draw();
  }

  stopped(user: string): void {
    clearTimeout(this.#timers.get(user));
    if (this.#timers.delete(user)) this.#draw();
  }

  clear(): void {
    for (const user of [...this.#timers.keys()]) this.stopped(user);
  }

  #draw(): void {
    const users = [...this.#timers.keys()];
    const [last, ...others] = [...users].reverse();
    const named = others.length === 0 ? `${last} is` : `${others.reverse().join(", ")} and ${last} are`;
    this.#element.textContent = users.length === 0 ? "" : users.length > NAMED_MAX ? "Several people are typing…" : `${named} typing…`;
  }
}
