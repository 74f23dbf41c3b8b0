// One channel as the application sees it: an explicit state machine that outlives connections, hands out each logged
// event once and in order, and says so whenever it cannot.

import { Backoff } from "./backoff.js";
import type { CallOptions, Settled } from "./calls.js";
import type { Clock } from "./clock.js";
import { Cursor } from "./cursor.js";
import { Emitter } from "./emitter.js";
import { ParlorError } from "./error.js";
import { historyPages, type HistoryQuery } from "./history.js";
import type { CommandName, Commands, Recover, Subscribe } from "./protocol/command.js";
import { ERROR_CODES } from "./protocol/error-codes.js";
import type { WireEvent } from "./protocol/event.js";
import type { Advance, PresenceDiff, Unsubscribed } from "./protocol/push.js";
import type { Durability, Members, NotRecovered, Page, Published, Replies, Subscribed } from "./protocol/reply.js";
import type { PublishOptions } from "./publish.js";
import { Roster } from "./roster.js";
import type { TokenProvider } from "./token-source.js";

export interface SubscribeOptions {
  /** What to deliver before the live events, the first time. Later it resumes from the newest event by itself. */
  readonly recover?: Recover;
  /** Keep a roster of who is there. */
  readonly presence?: boolean;
  /** A token for this channel alone, where the connection's own does not allow it. */
  readonly token?: string | TokenProvider;
}

export type SubscriptionState =
  /** Waits for the connection or for the server's answer. */
  | { readonly name: "subscribing" }
  /** `offset` is the log's top at that moment: later events are live, earlier ones are caught up with. */
  | { readonly name: "subscribed"; readonly durability: Durability; readonly offset: number }
  /** Over: subscribe again for another try. */
  | { readonly name: "unsubscribed"; readonly reason: ParlorError };

export interface SubscriptionEvents {
  state: SubscriptionState;
  /** Every event of the channel, of whatever kind: logged ones once and in order. Of kind `erase`: what it names is to be removed. */
  event: WireEvent;
  /** Events of kind `message` that carry their data. */
  message: WireEvent;
  signal: WireEvent;
  /** Some events were passed over, by choice or policy. */
  advance: Advance;
  /** Events were missed for good, for this reason: what one holds may have holes, so read the history again. */
  reset: NotRecovered | "fresh";
  /** The roster changed. */
  presence: Roster;
  /** Something failed in the background; the subscription goes on. */
  error: ParlorError;
}

/** What a subscription needs of its client. */
export interface SubscriptionHost {
  readonly clock: Clock;
  readonly random: () => number;
  isConnected(): boolean;
  start<N extends CommandName>(name: N, body: Commands[N], options: CallOptions, settled: Settled<N>): void;
  ask<N extends CommandName>(name: N, body: Commands[N]): Promise<Replies[N]>;
  /** A page for the roster: unlike what the application asks, it is never one too many. */
  members(channel: string, cursor: string | undefined): Promise<Members>;
  publish(channel: string, data: unknown, options?: PublishOptions): Promise<Published>;
  signal(channel: string, data: unknown): Promise<void>;
  /** From now on pushes with this alias are this subscription's. */
  bind(alias: number, subscription: Subscription): void;
  unbind(subscription: Subscription): void;
  /** It is over: the channel is free for another one. */
  release(subscription: Subscription): void;
}

export class Subscription extends Emitter<SubscriptionEvents> {
  readonly channel: string;
  /** Undefined unless presence was asked for. */
  readonly roster: Roster | undefined;
  readonly #host: SubscriptionHost;
  readonly #options: SubscribeOptions;
  readonly #cursor = new Cursor();
  readonly #backoff: Backoff;
  #state: SubscriptionState = { name: "subscribing" };
  /** The request under way, token and all, as an identity: an older one's answer is not taken for it. Undefined while none is. */
  #asking: object | undefined;
  /** Whether the server may hold this connection as subscribed. */
  #isHeld = false;
  /** Forgot its place on the server's order, and has not told the application yet. */
  #isFresh = false;
  #stopRetry = () => {};

  /** Made by `Client.subscribe`. */
  constructor(channel: string, options: SubscribeOptions, host: SubscriptionHost) {
    super();
    this.channel = channel;
    this.#options = options;
    this.#host = host;
    this.#backoff = new Backoff(host.random);
    this.roster = options.presence ? this.#newRoster() : undefined;
  }

  get state(): SubscriptionState {
    return this.#state;
  }

  /** What a later subscription could resume from: undefined before the first answer. */
  get position(): string | undefined {
    return this.#cursor.position;
  }

  /** Resolves once subscribed; rejects when it ends before. */
  whenSubscribed(): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (state: SubscriptionState) => {
        if (state.name === "subscribing") return;
        stop();
        if (state.name === "subscribed") resolve();
        else reject(state.reason);
      };
      const stop = this.on("state", look);
      look(this.#state);
    });
  }

  publish(data: unknown, options?: PublishOptions): Promise<Published> {
    return this.#host.publish(this.channel, data, options);
  }

  signal(data: unknown): Promise<void> {
    return this.#host.signal(this.channel, data);
  }

  /** Reads the log page by page, on demand. */
  history(query: HistoryQuery = {}): AsyncGenerator<Page, void, void> {
    return historyPages(this.channel, query, (body) => this.#host.ask("history", body));
  }

  /** Sets one's own state in this channel; undefined removes it. */
  async setPresence(state: unknown): Promise<void> {
    await this.#host.ask("presence_set", { channel: this.channel, state });
  }

  unsubscribe(): void {
    if (this.#state.name === "unsubscribed") return;
    if (this.#isHeld && this.#host.isConnected()) this.#sendUnsubscribe();
    this.#end(ParlorError.local("closed_by_application", "unsubscribed by the application"));
  }

  /** @internal The command that subscribes or resumes; undefined where a token must be fetched first, which {@link ask} does. */
  request(): Subscribe | undefined {
    const { token } = this.#options;
    return typeof token === "function" ? undefined : this.#body(token);
  }

  /** @internal Subscribes on the present connection; does nothing where that is over, done or under way already. */
  ask(): void {
    if (this.#state.name !== "subscribing" || this.#asking !== undefined) return;
    this.#stopRetry();
    const asking = (this.#asking = {});
    const { token } = this.#options;
    // Without a wait where there is none, so that a publish called next goes out behind it.
    if (typeof token !== "function") return this.#send(asking, token);
    // Called behind a promise: one that throws is no other than one that rejects.
    Promise.resolve().then(token).then(
      (fetched) => this.#send(asking, fetched),
      (error: unknown) => this.#answered(asking, ParlorError.local("token_unavailable", `unable to get a token; ${String(error)}`)),
    );
  }

  /** @internal */
  accepted(reply: Subscribed): void {
    if (this.#state.name === "unsubscribed") return this.#sendUnsubscribe();
    this.#isHeld = true;
    this.#host.bind(reply.alias, this);
    const reset = this.#resetReason(reply);
    this.#isFresh = false;
    this.#cursor.subscribed(reply);
    this.#change({ name: "subscribed", durability: reply.durability, offset: reply.offset });
    // A listener may have ended it, or the connection.
    if (reply.presence && this.#state.name === "subscribed") this.roster?.load();
    if (reset !== undefined) this.emit("reset", reset);
  }

  /** @internal */
  refused(error: ParlorError): void {
    if (this.#state.name === "unsubscribed") return;
    if (error.code === ERROR_CODES.already_subscribed) return this.#subscribeAnew(error);
    const comesBack = error.isRetryable || error.code < 1000 || (error.needsToken && typeof this.#options.token === "function");
    if (comesBack) this.#askLater(error);
    else this.#end(error);
  }

  /** @internal */
  received(event: WireEvent): void {
    const step = this.#cursor.follow(event);
    if (step === "duplicate") return;
    if (step === "gap") return this.#subscribeAnew(ParlorError.local("gap", `offset ${event.offset} came after ${this.#cursor.offset}`));
    if (step === "next") this.#backoff.reset();
    this.emit("event", event);
    if (event.kind === "message" && event.data !== undefined) this.emit("message", event);
    if (event.kind === "signal") this.emit("signal", event);
  }

  /** @internal */
  advanced(advance: Advance): void {
    this.#cursor.moveTo(advance.offset, advance.position);
    this.emit("advance", advance);
  }

  /** @internal */
  presenceChanged(diff: PresenceDiff): void {
    this.roster?.apply(diff);
  }

  /** @internal The server ended it. */
  ended({ code, reason, resubscribe }: Unsubscribed): void {
    const why = new ParlorError(code, "unsubscribed", reason);
    this.#isHeld = false;
    if (resubscribe) this.#askLater(why);
    else this.#end(why);
  }

  /** @internal The connection is gone; the client asks again on the next one. */
  detached(): void {
    if (this.#state.name === "unsubscribed") return;
    this.#isHeld = false;
    this.#leave();
    this.#change({ name: "subscribing" });
  }

  /** @internal The server wants everyone to begin anew. */
  forgetPosition(): void {
    this.#isFresh ||= this.#cursor.position !== undefined;
    this.#cursor.forget();
  }

  /** Why events may be missing behind this reply; undefined when none are. */
  #resetReason(reply: Subscribed): SubscriptionEvents["reset"] | undefined {
    if (reply.recovered === false) return reply.reason ?? "expired";
    if (this.#isFresh) return "fresh";
    const { position } = this.#cursor;
    // Not asked to recover (the server made the subscription), yet the log went on since.
    const wentOn = reply.recovered === undefined && position !== undefined && position !== reply.position;
    return wentOn ? "fresh" : undefined;
  }

  #body(token: string | undefined): Subscribe {
    return {
      channel: this.channel,
      token,
      recover: this.#cursor.recover(this.#options.recover),
      presence: this.#options.presence || undefined,
    };
  }

  #send(asking: object, token: string | undefined): void {
    if (asking !== this.#asking || !this.#host.isConnected()) return;
    if (this.#isHeld) this.#sendUnsubscribe();
    this.#isHeld = true;
    this.#host.start("subscribe", this.#body(token), ONCE, (outcome) => this.#answered(asking, outcome));
  }

  #answered(asking: object, outcome: Subscribed | ParlorError): void {
    // After an unsubscribe the server was told already, and after a lost connection it knows of nothing.
    if (asking !== this.#asking) return;
    this.#asking = undefined;
    if (outcome instanceof ParlorError) this.refused(outcome);
    else this.accepted(outcome);
  }

  /** After a fault: unsubscribes and resumes from the newest event, not faster than the backoff allows. */
  #subscribeAnew(why: ParlorError): void {
    this.#isHeld = true;
    this.#askLater(why);
  }

  #askLater(why: ParlorError): void {
    this.#leave();
    this.#change({ name: "subscribing" });
    this.emit("error", why);
    this.#stopRetry = this.#host.clock.after(why.retryAfterMs ?? this.#backoff.next(), () => {
      if (this.#host.isConnected()) this.ask();
    });
  }

  #sendUnsubscribe(): void {
    this.#isHeld = false;
    this.#host.start("unsubscribe", { channel: this.channel }, ONCE, () => {});
  }

  /** Hears nothing more from the present subscription. */
  #leave(): void {
    this.#asking = undefined;
    this.#stopRetry();
    this.#host.unbind(this);
    this.roster?.stop();
  }

  #end(reason: ParlorError): void {
    this.#leave();
    this.#host.release(this);
    this.#change({ name: "unsubscribed", reason });
  }

  #change(state: SubscriptionState): void {
    if (state.name === "subscribing" && this.#state.name === "subscribing") return;
    this.#state = state;
    this.emit("state", state);
  }

  #newRoster(): Roster {
    const { clock, random } = this.#host;
    const roster: Roster = new Roster({
      clock,
      random,
      page: (cursor) => this.#host.members(this.channel, cursor),
      changed: () => this.emit("presence", roster),
      failed: (error) => this.emit("error", error),
    });
    return roster;
  }
}

const ONCE: CallOptions = { resend: false, timeoutMs: 30_000 };
