// The table of closes: each ends the connection and says whether to come back. Checked against protocol/vectors.

export const CLOSE_CODES = {
  protocol_error: 1002,
  wrong_frame_type: 1003,
  bad_utf8: 1007,
  frame_too_large: 1009,
  draining: 4000,
  slow: 4001,
  no_pong: 4002,
  internal: 4003,
  connect_timeout: 4004,
  flooding: 4005,
  token_expired: 4006,
  busy: 4007,
  revoked: 4008,
  replaced: 4400,
  disconnected: 4401,
  bad_token: 4402,
  bad_frame: 4403,
  connect_refused: 4404,
} as const;

/** What a client does after a close: come back and resume, come back without session and positions, or not at all. */
export type Verdict = "resume" | "fresh" | "stay_away";

const STAY_AWAY = new Set([1002, 1003, 1007, 1009]);

/** The verdict of any close code, known or not. */
export function verdictOf(code: number): Verdict {
  if (code >= 4200 && code < 4400) return "fresh";
  if (STAY_AWAY.has(code) || (code >= 4400 && code < 4600)) return "stay_away";
  return "resume";
}
