// The one error type of this SDK: what a server refused, and what went wrong on this side.

import { isRetryable, needsToken } from "./protocol/error-codes.js";
import type { WireError } from "./protocol/reply.js";

/** What only a client can run into. Numbers below 1000 never stand on the wire. */
export const CLIENT_CODES = {
  not_started: 1,
  closed_by_application: 2,
  connection_lost: 3,
  silent: 4,
  connect_timeout: 5,
  token_unavailable: 6,
  timeout: 7,
  too_many_pending: 8,
  gap: 9,
  bad_frame: 10,
  log_changed: 11,
} as const;

export type ClientCode = keyof typeof CLIENT_CODES;

/** `name` and `code` are the wire's (or {@link CLIENT_CODES}); `message` says what was tried and why it failed. */
export class ParlorError extends Error {
  readonly code: number;
  readonly retryAfterMs: number | undefined;

  constructor(code: number, name: string, text: string, retryAfterMs?: number) {
    super(text);
    this.code = code;
    this.name = name;
    this.retryAfterMs = retryAfterMs;
  }

  static fromWire(error: WireError): ParlorError {
    return new ParlorError(error.code, error.name, error.text, error.retry_after_ms);
  }

  static local(name: ClientCode, text: string): ParlorError {
    return new ParlorError(CLIENT_CODES[name], name, text);
  }

  /** Whether the same command may succeed later. */
  get isRetryable(): boolean {
    return isRetryable(this.code);
  }

  /** Whether a new token must be had first. */
  get needsToken(): boolean {
    return needsToken(this.code);
  }
}
