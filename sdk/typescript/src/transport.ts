// The way to the server as an argument: WebSocket today, others beside it later.

import type { Frame } from "./codec.js";

/** One attempt to reach the server, and the connection that comes of it. */
export interface Link {
  send(frame: Frame): void;
  /** Ends the link. No handler is called afterwards. */
  close(): void;
}

/** What a transport tells about its link. After `closed` nothing follows. */
export interface LinkHandlers {
  opened(): void;
  received(frame: Frame): void;
  /** `code` is a WebSocket close code; 1006 when the link broke without one. */
  closed(code: number, text: string): void;
}

export interface Transport {
  open(subprotocol: string, handlers: LinkHandlers): Link;
}
