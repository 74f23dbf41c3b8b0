// Where tokens come from, and whether the one at hand is still good.

import type { Clock } from "./clock.js";
import { ParlorError } from "./error.js";
import { ERROR_CODES } from "./protocol/error-codes.js";

/** Fetches a token for this user, typically from one's own backend. Called whenever a fresh one is needed. */
export type TokenProvider = () => Promise<string>;

export class TokenSource {
  readonly #source: string | TokenProvider | undefined;
  readonly #clock: Clock;
  #token: string | undefined;
  #endsAt = Infinity;
  #stale = false;
  /** Whether the token in use was fetched when it was last asked for. */
  #isNew = false;

  constructor(source: string | TokenProvider | undefined, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  get canRefresh(): boolean {
    return typeof this.#source === "function";
  }

  /** Whether there may be a better token than the one in use: not if that was fetched for this very attempt. */
  get hasAnother(): boolean {
    return this.canRefresh && !this.#isNew;
  }

  /** The token to use now: undefined where none is configured. Rejects when the only one has ended. */
  async current(): Promise<string | undefined> {
    if (typeof this.#source === "function") {
      this.#isNew = this.#token === undefined || this.#stale || this.#clock.now() >= this.#endsAt;
      return this.#isNew ? this.fresh() : this.#token;
    }
    if (this.#stale) throw new ParlorError(ERROR_CODES.token_expired, "token_expired", "the token has ended, and there is no way to get another");
    return this.#source;
  }

  /** A new token, whatever the one at hand is worth. */
  async fresh(): Promise<string | undefined> {
    if (typeof this.#source !== "function") return this.#source;
    this.#token = await this.#source();
    this.#stale = false;
    this.#endsAt = Infinity;
    return this.#token;
  }

  /** The server took the token, and says how long it lasts. */
  accepted(expiresInMs: number | undefined): void {
    this.#stale = false;
    this.#endsAt = expiresInMs === undefined ? Infinity : this.#clock.now() + expiresInMs;
  }

  /** The server refused the token at hand, or it ended. */
  refused(): void {
    this.#stale = true;
  }
}
