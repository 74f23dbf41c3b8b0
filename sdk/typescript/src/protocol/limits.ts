// The wire's limits that a client needs before the connect reply tells those in force. Checked against protocol/vectors.

export const FRAME_BYTES_MAX = 65_536;
export const DEDUP_WINDOW_MS = 300_000;
export const PING_INTERVAL_DEFAULT_MS = 25_000;
/** How long after a ping each side waits for any frame. */
export const PONG_TIMEOUT_MS = 10_000;
