// Commands that wait for their replies, in the order in which they were called. Those marked `resend` survive a
// reconnect and a "try again later", and keep their order in their lanes; the others go out at once and end with the
// connection. Knows no socket: it is given a way to send.

import type { Clock } from "./clock.js";
import { ParlorError } from "./error.js";
import { heldUp, Lanes, type Way } from "./lanes.js";
import type { CommandName, Commands, Envelope } from "./protocol/command.js";
import type { Refusal, Reply } from "./protocol/push.js";
import type { Replies } from "./protocol/reply.js";

export interface CallOptions {
  /** Whether the command may be sent again, on this or a later connection, until it is answered. */
  readonly resend: boolean;
  /** How long after the call it may be sent again, in ms in which the machine may have slept. Default: while the caller waits. */
  readonly resendMs?: number;
  /** How long the caller waits in all, in ms. After it the outcome is unknown. */
  readonly timeoutMs: number;
}

/** Called once, before anything that stands behind the reply is read. */
export type Settled<N extends CommandName> = (outcome: Replies[N] | ParlorError) => void;

interface PendingCall {
  readonly name: CommandName;
  readonly body: Commands[CommandName];
  readonly resend: boolean;
  /** From then on it is not sent again, by the wall's time. */
  readonly resendEnd: number;
  readonly settled: Settled<CommandName>;
  /** Empty where it is not sent again. */
  readonly way: Way;
  /** Set while it is on its way. */
  id?: number | undefined;
  wasSent: boolean;
  readonly stopTimeout: () => void;
}

export class Calls {
  readonly #clock: Clock;
  readonly #pendingMax: number;
  readonly #lanes: Lanes;
  readonly #pending = new Set<PendingCall>();
  readonly #byId = new Map<number, PendingCall>();
  #send: ((command: Envelope) => void) | undefined;
  #nextId = FIRST_CALL_ID;

  constructor(clock: Clock, random: () => number, pendingMax: number) {
    this.#clock = clock;
    this.#pendingMax = pendingMax;
    this.#lanes = new Lanes(clock, random);
  }

  /** What the application asks: refused where as much waits as may. */
  call<N extends CommandName>(name: N, body: Commands[N], options: CallOptions): Promise<Replies[N]> {
    if (this.#pending.size >= this.#pendingMax) {
      return Promise.reject(ParlorError.local("too_many_pending", `unable to ${name}; too many commands wait for an answer`));
    }
    return this.callAnyway(name, body, options);
  }

  /** What the client needs of itself, however much waits: {@link start} as a promise. */
  callAnyway<N extends CommandName>(name: N, body: Commands[N], options: CallOptions): Promise<Replies[N]> {
    return new Promise((resolve, reject) => {
      this.start(name, body, options, (outcome) => (outcome instanceof ParlorError ? reject(outcome) : resolve(outcome)));
    });
  }

  /** Not bound like {@link call}: of its own the client asks a few things for each channel, and gives them up with the connection. */
  start<N extends CommandName>(name: N, body: Commands[N], options: CallOptions, settled: Settled<N>): void {
    if (this.#send === undefined && !options.resend) {
      return settled(ParlorError.local("connection_lost", `unable to ${name}; not connected`));
    }
    const call: PendingCall = {
      name,
      body,
      resend: options.resend,
      resendEnd: this.#clock.wallTime() + (options.resendMs ?? Infinity),
      settled: settled as Settled<CommandName>,
      way: options.resend ? this.#lanes.enter(name, "channel" in body ? body.channel : "") : [],
      wasSent: false,
      stopTimeout: this.#clock.after(options.timeoutMs, () => this.#timedOut(call)),
    };
    this.#pending.add(call);
    this.#offer(call);
  }

  /** The connection is up: what waits goes out, oldest first. */
  attach(send: (command: Envelope) => void): void {
    this.#send = send;
    this.#offerAll();
  }

  /** The connection is gone: what may not be sent again ends here. */
  detach(): void {
    this.#send = undefined;
    this.#lanes.reopen();
    for (const call of [...this.#pending]) {
      this.#takeBack(call);
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
    const outcome = message.type === "reply" ? message.body : ParlorError.fromWire(message.error);
    if (call.resend && outcome instanceof ParlorError && outcome.isRetryable) this.#retryLater(call, outcome);
    else this.#answered(call, outcome);
    this.#offerAll();
  }

  /** Oldest first, so that one that waits keeps its place before those that were called after it. */
  #offerAll(): void {
    for (const call of this.#pending) this.#offer(call);
  }

  #offer(call: PendingCall): void {
    if (call.id === undefined && call.way.every((lane) => lane.isFree)) this.#dispatch(call);
  }

  #dispatch(call: PendingCall): void {
    if (this.#send === undefined) return;
    // The timeout's timer may have stood still while the machine slept.
    if (call.wasSent && this.#clock.wallTime() >= call.resendEnd) return this.#finish(call, timedOut(call.name));
    call.wasSent = true;
    call.id = this.#nextId++;
    this.#byId.set(call.id, call);
    for (const lane of call.way) lane.sent();
    try {
      this.#send({ id: call.id, name: call.name, body: call.body });
    } catch (error) {
      this.#finish(call, asParlorError(error));
    }
  }

  #retryLater(call: PendingCall, error: ParlorError): void {
    this.#takeBack(call);
    heldUp(call.way, error.code)?.refused(error.retryAfterMs, () => this.#offerAll());
  }

  #answered(call: PendingCall, outcome: Replies[CommandName] | ParlorError): void {
    for (const lane of call.way) lane.answered();
    this.#finish(call, outcome);
  }

  #timedOut(call: PendingCall): void {
    this.#finish(call, timedOut(call.name));
    // Those behind it wait for it no longer.
    this.#offerAll();
  }

  #finish(call: PendingCall, outcome: Replies[CommandName] | ParlorError): void {
    if (!this.#pending.delete(call)) return;
    this.#takeBack(call);
    this.#lanes.leave(call.way);
    call.stopTimeout();
    call.settled(outcome);
  }

  /** It is under way no longer: what is still said to it is not heard. */
  #takeBack(call: PendingCall): void {
    if (call.id === undefined) return;
    this.#byId.delete(call.id);
    call.id = undefined;
    for (const lane of call.way) lane.returned();
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
