// How long to wait before trying again: exponential with full jitter, so that a restarted server is not stormed.

export interface BackoffOptions {
  /** The first wait is at most this, in ms. */
  readonly baseMs: number;
  /** No wait is longer than this, in ms. */
  readonly capMs: number;
}

export const RECONNECT_BACKOFF: BackoffOptions = { baseMs: 500, capMs: 20_000 };

export class Backoff {
  #attempt = 0;
  readonly #options: BackoffOptions;
  readonly #random: () => number;

  /** `random` gives numbers in [0, 1). */
  constructor(random: () => number, options: BackoffOptions = RECONNECT_BACKOFF) {
    this.#random = random;
    this.#options = options;
  }

  /** The next wait in ms; each call doubles the range of the following one. */
  next(): number {
    const range = Math.min(this.#options.capMs, this.#options.baseMs * 2 ** this.#attempt);
    this.#attempt = Math.min(this.#attempt + 1, 32);
    return this.#random() * range;
  }

  reset(): void {
    this.#attempt = 0;
  }
}
