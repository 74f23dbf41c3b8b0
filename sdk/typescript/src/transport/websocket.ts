// A link over the platform's WebSocket, or over any class of the same shape (such as `ws` on Node).

import type { Frame } from "../codec.js";
import type { Link, LinkHandlers, Transport } from "../transport.js";

/** The part of the browser's WebSocket that is used here. */
export interface WebSocketLike {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: Frame): void;
  close(code?: number): void;
}

export type WebSocketClass = new (url: string, protocols: string[]) => WebSocketLike;

export class WebSocketTransport implements Transport {
  readonly #url: string;
  readonly #socketClass: WebSocketClass;

  /** `socketClass` is needed where the platform has no `WebSocket` of its own (Node before 22). */
  constructor(url: string, socketClass: WebSocketClass | undefined = globalThis.WebSocket as WebSocketClass | undefined) {
    if (socketClass === undefined) throw new TypeError("this platform has no WebSocket; pass a class for it");
    this.#url = url;
    this.#socketClass = socketClass;
  }

  open(subprotocol: string, handlers: LinkHandlers): Link {
    const socket = new this.#socketClass(this.#url, [subprotocol]);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => handlers.opened();
    socket.onmessage = (event: { data: string | ArrayBuffer }) =>
      handlers.received(typeof event.data === "string" ? event.data : new Uint8Array(event.data));
    socket.onclose = (event: { code: number; reason: string }) => handlers.closed(event.code, event.reason);
    return { send: (frame) => socket.send(frame), close: () => abandon(socket) };
  }
}

function abandon(socket: WebSocketLike): void {
  socket.onopen = socket.onmessage = socket.onclose = null;
  // `ws` reports the abort of a pending handshake as an error, and an unheard one ends the process.
  socket.onerror = () => {};
  socket.close(1000);
}
