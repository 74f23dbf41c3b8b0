// The wire form as an argument: JSON today, MessagePack beside it later.

import type { Envelope } from "./protocol/command.js";
import type { ServerMessage } from "./protocol/push.js";

/** What a socket carries in one message. */
export type Frame = string | Uint8Array<ArrayBuffer>;

export interface Codec {
  /** The WebSocket subprotocol that fixes this form. */
  readonly subprotocol: string;
  /** One frame that holds all of `commands`, in their order. */
  encode(commands: readonly Envelope[]): Frame;
  /**
   * Everything in a server's frame; unknown pushes are left out.
   * @throws ParlorError `bad_frame` when the frame is not of the documented form.
   */
  decode(frame: Frame): ServerMessage[];
}
