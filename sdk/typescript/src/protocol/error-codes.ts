// The table of errors: each answers one command, and the connection lives. Checked against protocol/vectors.
//
// The range carries the verdict, so that an old client obeys a code it does not know.

export const ERROR_CODES = {
  busy: 1000,
  rate_limited: 1001,
  storage_unavailable: 1002,
  draining: 1003,
  internal: 1004,
  bad_request: 2000,
  unknown_command: 2001,
  not_connected: 2002,
  already_connected: 2003,
  bad_channel: 2004,
  unknown_channel_kind: 2005,
  already_subscribed: 2006,
  not_subscribed: 2007,
  not_permitted: 2008,
  bad_payload: 2009,
  too_large: 2010,
  too_many: 2011,
  id_reused: 2012,
  presence_disabled: 2013,
  not_present: 2014,
  not_found: 2015,
  bad_token: 3000,
  token_expired: 3001,
  bad_key: 3002,
  token_revoked: 3003,
} as const;

/** Whether the same command may succeed later. */
export function isRetryable(code: number): boolean {
  return code >= 1000 && code < 2000;
}

/** Whether a new token must be had first. */
export function needsToken(code: number): boolean {
  return code >= 3000 && code < 4000;
}
