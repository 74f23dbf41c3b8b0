// Calls that go out in their order: where one of them is told to try again later, those behind it wait as well, or they
// would overtake it. What was under way beside it may do so all the same: it cannot be called back. So a crowd goes in
// groups, the next one when all of the last is answered: what is refused of a group is its end.

import { Backoff } from "./backoff.js";
import type { Clock } from "./clock.js";

export class Lane {
  readonly key: string;
  /** How many calls are in it, under way or not: {@link Lanes} counts, and gives up an empty one. */
  calls = 0;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  #underWay = 0;
  /** How large a group may be: one call after a refusal, and one more with each answer. A crowd would only be refused again. */
  #groupMax = UNDER_WAY_MAX;
  /** No more join the group that is under way. */
  #isFull = false;
  /** One of that group was refused: what becomes of the others says nothing about the next. */
  #isSpoilt = false;
  #stopWait: (() => void) | undefined;

  constructor(key: string, clock: Clock, random: () => number) {
    this.key = key;
    this.#clock = clock;
    this.#backoff = new Backoff(random);
  }

  /** Whether another may go out now. */
  get isFree(): boolean {
    return this.#stopWait === undefined && !this.#isFull;
  }

  sent(): void {
    this.#isFull = ++this.#underWay >= this.#groupMax;
  }

  /** What was sent is under way no longer, whatever became of it. */
  returned(): void {
    if (--this.#underWay === 0) this.#isFull = this.#isSpoilt = false;
  }

  answered(): void {
    if (this.#isSpoilt) return;
    this.#backoff.reset();
    this.#groupMax = Math.min(this.#groupMax + 1, UNDER_WAY_MAX);
  }

  /** One that has returned is to try again later: nothing goes out for so long, then `over` is called. */
  refused(retryAfterMs: number | undefined, over: () => void): void {
    this.#groupMax = 1;
    this.#isFull = this.#isSpoilt = this.#underWay > 0;
    // Others were refused beside the first: one wait is enough.
    this.#stopWait ??= this.#clock.after(retryAfterMs ?? this.#backoff.next(), () => {
      this.#stopWait = undefined;
      over();
    });
  }

  /** Forgets what one connection said: there is another, or nobody waits any more. */
  reopen(): void {
    this.#stopWait?.();
    this.#stopWait = undefined;
    this.#groupMax = UNDER_WAY_MAX;
  }
}

/** A server has so many publishes of a connection under way, and leaves the rest in the socket. */
const UNDER_WAY_MAX = 128;
