// Which calls wait for which, among those that may be sent again. A rate is counted per connection, so one that is over it
// holds up all of its name; what else passes (a log that is away, say) holds up its own channel alone. Writes never hold up
// reads.

import type { Clock } from "./clock.js";
import { Lane } from "./lane.js";
import type { CommandName } from "./protocol/command.js";
import { ERROR_CODES } from "./protocol/error-codes.js";

/** The lanes that a call is in at once: it goes out when all are free. */
export type Way = readonly Lane[];

export class Lanes {
  readonly #clock: Clock;
  readonly #random: () => number;
  /** Only those that a call is in. */
  readonly #byKey = new Map<string, Lane>();

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  enter(name: CommandName, channel: string): Way {
    const way = [this.#lane(name), this.#lane(`${name} ${channel}`)];
    for (const lane of way) lane.calls++;
    return way;
  }

  leave(way: Way): void {
    for (const lane of way) {
      if (--lane.calls > 0) continue;
      lane.reopen();
      this.#byKey.delete(lane.key);
    }
  }

  /** There is another connection: what the one before it said of the rate and of the log counts no more. */
  reopen(): void {
    for (const lane of this.#byKey.values()) lane.reopen();
  }

  #lane(key: string): Lane {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const lane = new Lane(key, this.#clock, this.#random);
    this.#byKey.set(key, lane);
    return lane;
  }
}

/** The lane that is held up when a call is told to try again later. */
export function heldUp([ofName, ofChannel]: Way, code: number): Lane | undefined {
  return code === ERROR_CODES.rate_limited ? ofName : ofChannel;
}
