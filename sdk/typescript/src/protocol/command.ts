// What a client may ask, named as on the wire. Payloads are values here; a codec gives them their form.

import type { Time } from "./event.js";

export interface SessionKey {
  readonly id: string;
  readonly secret: string;
}

/** What to deliver before the live events. */
export type Recover = { readonly from: string } | { readonly latest: number };

export interface Connect {
  readonly token?: string;
  readonly user?: string;
  readonly client?: { readonly name: string; readonly version: string };
  readonly session?: SessionKey;
  readonly features?: readonly string[];
  readonly ping_interval_ms?: number;
  readonly subscriptions?: readonly Subscribe[];
}

export interface Subscribe {
  readonly channel: string;
  readonly token?: string;
  readonly recover?: Recover;
  readonly presence?: boolean;
}

export interface Unsubscribe {
  readonly channel: string;
}

export interface Publish {
  readonly channel: string;
  readonly id?: string;
  readonly echo?: boolean;
  readonly tags?: Readonly<Record<string, string>>;
  /** A JSON value, or a `Uint8Array` for binary. */
  readonly data: unknown;
}

export interface Signal {
  readonly channel: string;
  readonly data: unknown;
}

export type Direction = "backward" | "forward";

export interface History {
  readonly channel: string;
  readonly direction?: Direction;
  readonly offset?: number;
  readonly time?: Time;
  readonly limit?: number;
}

export interface Presence {
  readonly channel: string;
  readonly limit?: number;
  readonly cursor?: string;
}

export interface PresenceSet {
  readonly channel: string;
  /** A JSON value; absent removes the state. */
  readonly state?: unknown;
}

export interface Refresh {
  readonly token: string;
}

export type Empty = Readonly<Record<string, never>>;

/** Every command by its name on the wire. */
export interface Commands {
  connect: Connect;
  subscribe: Subscribe;
  unsubscribe: Unsubscribe;
  publish: Publish;
  signal: Signal;
  history: History;
  presence: Presence;
  presence_set: PresenceSet;
  refresh: Refresh;
  ping: Empty;
  pong: Empty;
}

export type CommandName = keyof Commands;

/** A command with the number that its reply echoes; without one no reply is sent. */
export interface Envelope<N extends CommandName = CommandName> {
  readonly id?: number;
  readonly name: N;
  readonly body: Commands[N];
}
