// What the server answers to a command, named as on the wire.

import type { Empty, SessionKey } from "./command.js";
import type { Time, WireEvent } from "./event.js";

export interface WireError {
  readonly code: number;
  readonly name: string;
  readonly text: string;
  readonly retry_after_ms?: number;
}

export interface ConnectionLimits {
  readonly frame_bytes_max: number;
  readonly commands_per_frame_max: number;
  readonly channels_max: number;
  readonly payload_bytes_max: number;
  readonly history_page_max: number;
  readonly dedup_window_ms: number;
}

export interface Connected {
  readonly connection: string;
  readonly session: SessionKey;
  readonly user?: string;
  readonly server: string;
  readonly time: Time;
  readonly ping_interval_ms: number;
  readonly features?: readonly string[];
  readonly limits: ConnectionLimits;
  readonly expires_in_ms?: number;
  readonly degraded?: boolean;
  readonly subscriptions?: readonly SubscribeOutcome[];
}

export type SubscribeOutcome = Subscribed | SubscribeRefused;

export interface SubscribeRefused {
  readonly channel: string;
  readonly error: WireError;
}

/** What an acknowledged publish has survived. */
export type Durability = "memory" | "disk" | "replicated" | (string & {});

/** Why a resume was not complete. Others may come: treat one that you do not know like `expired`. */
export type NotRecovered =
  | "expired"
  | "epoch_changed"
  | "diverged"
  | "too_many"
  | "not_permitted"
  | "bad_position"
  | (string & {});

export interface Subscribed {
  readonly channel: string;
  readonly alias: number;
  readonly position: string;
  readonly offset: number;
  readonly recovered?: boolean;
  readonly from?: number;
  readonly to?: number;
  readonly reason?: NotRecovered;
  readonly presence?: boolean;
  readonly durability: Durability;
}

export interface Published {
  readonly offset: number;
  readonly position: string;
  readonly time: Time;
  readonly durability: Durability;
  /** The same id and content had been published before: this is the first one's position. */
  readonly duplicate?: boolean;
}

export interface Signalled {
  readonly time: Time;
}

/** A page of history, in the order of the direction asked for. */
export interface Page {
  readonly events: readonly WireEvent[];
  readonly more: boolean;
  readonly epoch: string;
  readonly position: string;
  readonly offset: number;
}

/** A user who is in a channel, with all its connections. */
export interface Member {
  readonly user: string;
  readonly info?: unknown;
  readonly state?: unknown;
  readonly sessions: readonly string[];
}

export interface Members {
  readonly members: readonly Member[];
  readonly users: number;
  readonly connections: number;
  readonly version: number;
  readonly next?: string;
}

export interface Refreshed {
  readonly expires_in_ms?: number;
}

/** Every reply by its command's name. */
export interface Replies {
  connect: Connected;
  subscribe: Subscribed;
  unsubscribe: Empty;
  publish: Published;
  signal: Signalled;
  history: Page;
  presence: Members;
  presence_set: Empty;
  refresh: Refreshed;
  ping: Signalled;
  pong: never;
}
