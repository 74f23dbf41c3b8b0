// One lasting connection made of many short links: opens a link, greets, watches that it lives, and comes back after
// it broke. Knows nothing of channels: what it carries is its host's business.

import { Backoff } from "./backoff.js";
import type { Clock } from "./clock.js";
import type { Codec, Frame } from "./codec.js";
import { ParlorError } from "./error.js";
import { verdictOf, type Verdict } from "./protocol/close-codes.js";
import type { Connect, Envelope } from "./protocol/command.js";
import { ERROR_CODES } from "./protocol/error-codes.js";
import { FRAME_BYTES_MAX, PONG_TIMEOUT_MS } from "./protocol/limits.js";
import type { Disconnect, Refusal, Reply, ServerMessage } from "./protocol/push.js";
import type { Connected } from "./protocol/reply.js";
import type { Link, Transport } from "./transport.js";

export type ConnectionState =
  /** A link is being made. `attempt` counts from 1 since the last time it was connected. */
  | { readonly name: "connecting"; readonly attempt: number }
  | { readonly name: "connected"; readonly connection: string; readonly user: string | undefined }
  /** The link broke; the next attempt is `retryInMs` away. */
  | { readonly name: "disconnected"; readonly reason: ParlorError; readonly retryInMs: number }
  /** Nothing will happen until someone connects again. */
  | { readonly name: "closed"; readonly reason: ParlorError };

/** What one link says first, and who takes the answer to just that. */
export interface Greeting {
  readonly connect: Connect;
  greeted(reply: Connected): void;
}

/** Whom the connection serves. */
export interface ConnectionHost {
  /** A rejection with a {@link ParlorError} that `needsToken` closes; any other is tried again later. */
  greeting(): Promise<Greeting>;
  /** Whether the next greeting has another token than the one that was just refused. */
  hasAnotherToken(): boolean;
  received(message: Exclude<ServerMessage, { name: "ping" | "disconnect" }>): void;
  /** The link is gone. Follows {@link Greeting.greeted} or a failed attempt. */
  lost(verdict: Verdict, reason: ParlorError): void;
  changed(state: ConnectionState): void;
}

export interface ConnectionParts {
  readonly transport: Transport;
  readonly codec: Codec;
  readonly clock: Clock;
  readonly random: () => number;
}

export class Connection {
  readonly #parts: ConnectionParts;
  readonly #host: ConnectionHost;
  readonly #backoff: Backoff;
  #state: ConnectionState = { name: "closed", reason: ParlorError.local("not_started", "not connected yet") };
  #attempt = 0;
  #link: Link | undefined;
  /** The current link's. */
  #greeting: Greeting | undefined;
  /** Names the current link, so that what an older one still says is not heard. */
  #life = 0;
  #stopTimer = () => {};
  #heardAt = 0;
  #greetedAt = 0;
  #quietMaxMs = 0;
  #frameBytesMax = FRAME_BYTES_MAX;

  constructor(parts: ConnectionParts, host: ConnectionHost) {
    this.#parts = parts;
    this.#host = host;
    this.#backoff = new Backoff(parts.random);
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Connects now, whatever the wait would be. Does nothing while connecting or connected. */
  open(): void {
    if (this.#state.name === "connecting" || this.#state.name === "connected") return;
    this.#stopTimer();
    void this.#connect();
  }

  close(): void {
    if (this.#state.name === "closed") return;
    const reason = ParlorError.local("closed_by_application", "closed by the application");
    if (this.#leave("resume", reason)) this.#change({ name: "closed", reason });
  }

  /** The device woke up or came online: waits no longer, and doubts a link that may have died meanwhile. */
  wake(): void {
    if (this.#state.name === "disconnected") this.open();
    if (this.#state.name !== "connected") return;
    const askedAt = this.#parts.clock.now();
    const life = this.#life;
    this.#write([{ id: CONNECT_ID, name: "ping", body: {} }]);
    this.#parts.clock.after(PROBE_TIMEOUT_MS, () => {
      if (life === this.#life && this.#heardAt < askedAt) this.#lose(ParlorError.local("silent", "no answer after waking up"), "resume");
    });
  }

  /** The bytes that a frame may have, as the server said last. */
  get frameBytesMax(): number {
    return this.#frameBytesMax;
  }

  /** How many bytes a frame of this command has. */
  weigh(command: Envelope): number {
    return bytesOf(this.#parts.codec.encode([command]));
  }

  /** @throws ParlorError `too_large` when the frame would end the connection. */
  send(commands: readonly Envelope[]): void {
    const frame = this.#parts.codec.encode(commands);
    if (!fits(frame, this.#frameBytesMax)) {
      throw new ParlorError(ERROR_CODES.too_large, "too_large", `unable to send; a frame holds at most ${this.#frameBytesMax} bytes`);
    }
    this.#link?.send(frame);
  }

  async #connect(): Promise<void> {
    const life = ++this.#life;
    // Before anybody is told: a listener that closes stops it.
    this.#stopTimer = this.#parts.clock.after(CONNECT_TIMEOUT_MS, () => {
      this.#lose(ParlorError.local("connect_timeout", "unable to connect in time"), "resume");
    });
    this.#change({ name: "connecting", attempt: ++this.#attempt });
    if (life !== this.#life) return;
    let greeting: Greeting;
    try {
      greeting = await this.#host.greeting();
    } catch (error) {
      if (life === this.#life) this.#greetingFailed(error);
      return;
    }
    if (life === this.#life) this.#openLink(life, greeting);
  }

  #greetingFailed(error: unknown): void {
    if (error instanceof ParlorError && error.needsToken) return this.#lose(error, "stay_away");
    this.#lose(ParlorError.local("token_unavailable", `unable to get a token; ${String(error)}`), "resume");
  }

  #openLink(life: number, greeting: Greeting): void {
    this.#greeting = greeting;
    const whenCurrent = (act: () => void) => {
      if (life === this.#life) act();
    };
    this.#link = this.#parts.transport.open(this.#parts.codec.subprotocol, {
      opened: () => whenCurrent(() => this.#write([{ id: CONNECT_ID, name: "connect", body: greeting.connect }])),
      received: (frame) => whenCurrent(() => this.#read(life, frame)),
      closed: (code, text) => whenCurrent(() => this.#lose(closeReason(code, text), verdictOf(code))),
    });
  }

  #read(life: number, frame: Frame): void {
    this.#heardAt = this.#parts.clock.now();
    let messages: ServerMessage[];
    try {
      messages = this.#parts.codec.decode(frame);
    } catch (error) {
      return this.#lose(error instanceof ParlorError ? error : ParlorError.local("bad_frame", String(error)), "resume");
    }
    for (const message of messages) {
      // A message may have ended this link; what stands behind it in the frame is then void.
      if (life === this.#life) this.#dispatch(message);
    }
  }

  #dispatch(message: ServerMessage): void {
    if (message.type === "push") {
      if (message.name === "ping") return this.#write([{ name: "pong", body: {} }]);
      if (message.name === "disconnect") return this.#dismissed(message.body);
    } else if (message.id === CONNECT_ID) {
      return this.#greetingAnswered(message);
    }
    this.#host.received(message as Parameters<ConnectionHost["received"]>[0]);
  }

  #greetingAnswered(message: Reply | Refusal): void {
    if (this.#state.name !== "connecting") return;
    if (message.type === "error") return this.#refused(ParlorError.fromWire(message.error));
    const reply = message.body as Connected;
    this.#stopTimer();
    this.#greetedAt = this.#heardAt;
    this.#attempt = 0;
    this.#frameBytesMax = reply.limits.frame_bytes_max;
    this.#quietMaxMs = reply.ping_interval_ms + PONG_TIMEOUT_MS;
    this.#watch();
    const life = this.#life;
    this.#state = { name: "connected", connection: reply.connection, user: reply.user };
    this.#greeting?.greeted(reply);
    // A listener may have closed it already.
    if (life === this.#life) this.#host.changed(this.#state);
  }

  #refused(error: ParlorError): void {
    // A token that has ended is worth another try when a fresh one can be had: the host decides that in `greeting`. One that
    // was refused otherwise only if it is not fresh itself.
    const comesBack = error.isRetryable || error.code === ERROR_CODES.token_expired || (error.needsToken && this.#host.hasAnotherToken());
    this.#lose(error, comesBack ? "resume" : "stay_away");
  }

  #dismissed({ code, name, text, retry_after_ms }: Disconnect): void {
    this.#lose(new ParlorError(code, name, text, retry_after_ms), verdictOf(code));
  }

  #watch(): void {
    const quiet = this.#parts.clock.now() - this.#heardAt;
    if (quiet >= this.#quietMaxMs) return this.#lose(ParlorError.local("silent", "the server fell silent"), "resume");
    this.#stopTimer = this.#parts.clock.after(this.#quietMaxMs - quiet, () => this.#watch());
  }

  #lose(reason: ParlorError, verdict: Verdict): void {
    const { clock } = this.#parts;
    if (this.#state.name === "connected" && clock.now() - this.#greetedAt >= STABLE_MS) this.#backoff.reset();
    if (!this.#leave(verdict, reason)) return;
    if (verdict === "stay_away") return this.#change({ name: "closed", reason });
    const retryInMs = reason.retryAfterMs ?? this.#backoff.next();
    this.#stopTimer = clock.after(retryInMs, () => void this.#connect());
    this.#change({ name: "disconnected", reason, retryInMs });
  }

  /** Drops the link. False when a listener has decided meanwhile what comes next: it closed, and maybe connected anew. */
  #leave(verdict: Verdict, reason: ParlorError): boolean {
    const life = ++this.#life;
    this.#stopTimer();
    this.#link?.close();
    this.#link = undefined;
    this.#host.lost(verdict, reason);
    return life === this.#life;
  }

  #write(commands: readonly Envelope[]): void {
    this.#link?.send(this.#parts.codec.encode(commands));
  }

  #change(state: ConnectionState): void {
    this.#state = state;
    this.#host.changed(state);
  }
}

const CONNECT_ID = 1;
const CONNECT_TIMEOUT_MS = 15_000;
const PROBE_TIMEOUT_MS = 5_000;
/** A link that lived this long proves that the server is well: the next wait is short again. */
const STABLE_MS = 10_000;

function closeReason(code: number, text: string): ParlorError {
  if (code < 4000 && !text) return ParlorError.local("connection_lost", `the connection was lost (${code})`);
  return new ParlorError(code, "closed_by_server", text || `closed by the server (${code})`);
}

function fits(frame: Frame, bytesMax: number): boolean {
  // No UTF-16 unit takes more than three bytes: most frames need no counting.
  return frame.length * 3 <= bytesMax || bytesOf(frame) <= bytesMax;
}

function bytesOf(frame: Frame): number {
  return typeof frame === "string" ? new TextEncoder().encode(frame).length : frame.length;
}
