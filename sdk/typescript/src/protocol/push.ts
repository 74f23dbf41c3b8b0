// What the server says unasked, named as on the wire, and all that a frame of it can hold.

import type { CommandName, Empty } from "./command.js";
import type { WireEvent } from "./event.js";
import type { Member, Replies, Subscribed, WireError } from "./reply.js";

/** An event of a subscribed channel: its fields stand beside the channel's alias. */
export interface EventPush extends WireEvent {
  readonly alias: number;
}

/** Some events are passed over, by choice or policy: the position moves on all the same. */
export interface Advance {
  readonly alias: number;
  readonly offset: number;
  readonly position: string;
  /** `skipped`, `filtered`, or another. */
  readonly reason: string;
}

export interface PresenceDiff {
  readonly alias: number;
  readonly version: number;
  readonly joined?: readonly Member[];
  readonly updated?: readonly Member[];
  readonly left?: readonly string[];
  readonly users: number;
  readonly connections: number;
}

/** The server ended a subscription. */
export interface Unsubscribed {
  readonly alias: number;
  readonly channel: string;
  readonly code: number;
  readonly reason: string;
  readonly resubscribe: boolean;
  /** First and last offset of events that had been acknowledged or delivered and are gone. */
  readonly lost_from?: number;
  readonly lost_to?: number;
}

export interface TokenExpiring {
  readonly expires_in_ms: number;
}

/** How the server is. */
export interface Status {
  /** Publishes and new subscriptions may be refused for now; what exists stays, and nothing is lost. */
  readonly degraded: boolean;
}

/** Why the connection ends; the code's range says what to do. */
export interface Disconnect {
  readonly code: number;
  readonly name: string;
  readonly text: string;
  readonly retry_after_ms?: number;
}

/** Every push by its name on the wire. */
export interface Pushes {
  event: EventPush;
  advance: Advance;
  presence: PresenceDiff;
  subscribed: Subscribed;
  unsubscribed: Unsubscribed;
  token_expiring: TokenExpiring;
  status: Status;
  disconnect: Disconnect;
  ping: Empty;
}

export type PushName = keyof Pushes;

export type Push = { [N in PushName]: { readonly type: "push"; readonly name: N; readonly body: Pushes[N] } }[PushName];

export interface Reply {
  readonly type: "reply";
  readonly id: number;
  readonly body: Replies[CommandName];
}

export interface Refusal {
  readonly type: "error";
  readonly id: number;
  readonly error: WireError;
}

/** What a client finds in a frame. Pushes that it does not know are left out by the codec. */
export type ServerMessage = Reply | Refusal | Push;
