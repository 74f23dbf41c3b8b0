// Where a subscription stands in its channel's log: tells the next event from a duplicate and from a hole.

import type { Recover } from "./protocol/command.js";
import type { WireEvent } from "./protocol/event.js";
import type { Subscribed } from "./protocol/reply.js";

/** What an event is to a reader. `gap`: some before it are missing, which is always a fault. */
export type Step = "next" | "duplicate" | "gap" | "unlogged";

export class Cursor {
  #position: string | undefined;
  #offset: number | undefined;

  get position(): string | undefined {
    return this.#position;
  }

  /** The newest offset that was seen or passed over. */
  get offset(): number | undefined {
    return this.#offset;
  }

  /** What to ask for: everything behind the newest event, or `initially` where none was seen. */
  recover(initially: Recover | undefined): Recover | undefined {
    return this.#position === undefined ? initially : { from: this.#position };
  }

  subscribed(reply: Subscribed): void {
    if (reply.recovered === true && reply.from !== undefined) {
      // The missed events follow as pushes, and each brings its position. An offset with a position still counts, so
      // that a replay which starts too late shows as a gap.
      if (this.#position === undefined) this.#offset = reply.from - 1;
    } else {
      this.#position = reply.position;
      this.#offset = reply.offset;
    }
  }

  /** Judges an event and, if it is the next one, moves onto it. */
  follow(event: WireEvent): Step {
    if (event.offset === undefined) return "unlogged";
    if (this.#offset !== undefined) {
      if (event.offset <= this.#offset) return "duplicate";
      if (event.offset > this.#offset + 1) return "gap";
    }
    this.moveTo(event.offset, event.position);
    return "next";
  }

  moveTo(offset: number, position: string | undefined): void {
    if (this.#offset !== undefined && offset <= this.#offset) return;
    this.#offset = offset;
    this.#position = position ?? this.#position;
  }

  forget(): void {
    this.#position = this.#offset = undefined;
  }
}
