// Commands that wait for their replies, in the order in which they were called. Those marked `resend` survive a
// reconnect and a "try again later"; the others end with the connection. Knows no socket: it is given a way to send.

import { Backoff, RECONNECT_BACKOFF } from "./backoff.js";
import type { Clock } from "./clock.js";
import { ParlorError } from "./error.js";
import type { CommandName, Commands, Envelope } from "./protocol/command.js";
import type { Refusal, Reply } from "./protocol/push.js";
import type { Replies } from "./protocol/reply.js";

export interface CallOptions {
  /** Whether the command may be sent again, on this or a later connection, until it is answered. */
  readonly resend: boolean;
  /** How long the caller waits in all, in ms. After it the outcome is unknown. */
  readonly timeoutMs: number;
}

/** Called once, before anything that stands behind the reply is read. */
export type Settled<N extends CommandName> = (outcome: Replies[N] | ParlorError) => void;

interface PendingCall {
  readonly name: CommandName;
  readonly body: Commands[CommandName];
  readonly resend: boolean;
  readonly settled: Settled<CommandName>;
  readonly backoff: Backoff;
  /** Set while it is on its way. */
  id?: number | undefined;
  stopTimeout: () => void;
  stopRetry: () => void;
}

export class Calls {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #pendingMax: number;
  readonly #pending = new Set<PendingCall>();
  readonly #byId = new Map<number, PendingCall>();
  #send: ((command: Envelope) => void) | undefined;
  #nextId = FIRST_CALL_ID;

  constructor(clock: Clock, random: () => number, pendingMax: number) {
    this.#clock = clock;
    this.#random = random;
    this.#pendingMax = pendingMax;
  }

  /** {@link start} as a promise. */
  call<N extends CommandName>(name: N, body: Commands[N], options: CallOptions): Promise<Replies[N]> {
    return new Promise((resolve, reject) => {
      this.start(name, body, options, (outcome) => (outcome instanceof ParlorError ? reject(outcome) : resolve(outcome)));
    });
  }

  start<N extends CommandName>(name: N, body: Commands[N], options: CallOptions, settled: Settled<N>): void {
    if (this.#pending.size >= this.#pendingMax) {
      return settled(ParlorError.local("too_many_pending", `unable to ${name}; too many commands wait for an answer`));
    }
    if (this.#send === undefined && !options.resend) {
      return settled(ParlorError.local("connection_lost", `unable to ${name}; not connected`));
    }
    const call: PendingCall = {
      name,
      body,
      resend: options.resend,
      settled: settled as Settled<CommandName>,
      backoff: new Backoff(this.#random, RECONNECT_BACKOFF),
      stopTimeout: this.#clock.after(options.timeoutMs, () => this.#finish(call, timedOut(name))),
      stopRetry: () => {},
    };
    this.#pending.add(call);
    this.#dispatch(call);
  }

  /** The connection is up: everything that waits goes out, oldest first. */
  attach(send: (command: Envelope) => void): void {
    this.#send = send;
    for (const call of [...this.#pending]) this.#dispatch(call);
  }

  /** The connection is gone: what may not be sent again ends here. */
  detach(): void {
    this.#send = undefined;
    this.#byId.clear();
    for (const call of [...this.#pending]) {
      call.id = undefined;
      call.stopRetry();
      if (!call.resend) this.#finish(call, ParlorError.local("connection_lost", `the connection was lost during ${call.name}`));
    }
  }

  /** Ends everything that waits. */
  rejectAll(reason: ParlorError): void {
    for (const call of [...this.#pending]) this.#finish(call, reason);
  }

  receive(message: Reply | Refusal): void {
    const call = this.#byId.get(message.id);
    if (call === undefined) return;
    if (message.type === "reply") return this.#finish(call, message.body);
    const error = ParlorError.fromWire(message.error);
    if (call.resend && error.isRetryable) this.#retryLater(call, error);
    else this.#finish(call, error);
  }

  #dispatch(call: PendingCall): void {
    if (this.#send === undefined || call.id !== undefined) return;
    call.id = this.#nextId++;
    this.#byId.set(call.id, call);
    try {
      this.#send({ id: call.id, name: call.name, body: call.body });
    } catch (error) {
      this.#finish(call, asParlorError(error));
    }
  }

  #retryLater(call: PendingCall, error: ParlorError): void {
    this.#forget(call);
    call.stopRetry = this.#clock.after(error.retryAfterMs ?? call.backoff.next(), () => this.#dispatch(call));
  }

  #finish(call: PendingCall, outcome: Replies[CommandName] | ParlorError): void {
    this.#forget(call);
    this.#pending.delete(call);
    call.stopTimeout();
    call.stopRetry();
    call.settled(outcome);
  }

  #forget(call: PendingCall): void {
    if (call.id !== undefined) this.#byId.delete(call.id);
    call.id = undefined;
  }
}

// Id 1 belongs to the connection itself (connect, and probes after it).
const FIRST_CALL_ID = 2;

function timedOut(name: CommandName): ParlorError {
  return ParlorError.local("timeout", `no answer to ${name} in time; the outcome is unknown`);
}

function asParlorError(error: unknown): ParlorError {
  return error instanceof ParlorError ? error : new ParlorError(2009, "bad_payload", String(error));
}
