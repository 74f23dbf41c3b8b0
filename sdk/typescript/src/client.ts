// What an application holds: one connection, its subscriptions, and the commands that need no subscription.

import { Calls, type CallOptions, type Settled } from "./calls.js";
import { systemClock, type Clock } from "./clock.js";
import type { Codec } from "./codec.js";
import { jsonCodec } from "./codec/json.js";
import { Connection, type ConnectionHost, type ConnectionState, type Greeting } from "./connection.js";
import { Emitter } from "./emitter.js";
import { ParlorError } from "./error.js";
import { historyPages, type HistoryQuery } from "./history.js";
import { copyOf } from "./payload.js";
import { CLOSE_CODES, type Verdict } from "./protocol/close-codes.js";
import type { CommandName, Commands, Connect, SessionKey } from "./protocol/command.js";
import { DEDUP_WINDOW_MS } from "./protocol/limits.js";
import type { Push, ServerMessage } from "./protocol/push.js";
import type { Connected, Members, Page, Published, Replies } from "./protocol/reply.js";
import type { PublishOptions } from "./publish.js";
import { randomId } from "./random-id.js";
import type { SubscribeOptions, Subscription } from "./subscription.js";
import { Subscriptions, type Carried, type SubscriptionsHost } from "./subscriptions.js";
import { TokenSource, type TokenProvider } from "./token-source.js";
import type { Transport } from "./transport.js";
import { WebSocketTransport, type WebSocketClass } from "./transport/websocket.js";
import { VERSION } from "./version.js";
import { onWake } from "./wake.js";

export interface ClientOptions {
  /** The server's socket, such as `wss://chat.example.com/v1/socket`; or a transport of one's own. */
  readonly url: string | Transport;
  /** Who one is: a token, or a function that fetches one and is asked again before it ends. */
  readonly token?: string | TokenProvider;
  /** Who one is without a token: honoured by development servers only. */
  readonly user?: string;
  /** For the operator's logs. Default: this SDK. */
  readonly client?: { readonly name: string; readonly version: string };
  /** The wished interval of server pings, in ms. */
  readonly pingIntervalMs?: number;
  /** How many commands may wait for an answer, sent or not, before the next that you ask for is refused. Default 1,000. */
  readonly pendingMax?: number;
  /** A WebSocket class where the platform has none (Node before 22). */
  readonly webSocket?: WebSocketClass;
  /** The wire form. Default JSON. */
  readonly codec?: Codec;
  readonly clock?: Clock;
  /** Numbers in [0, 1), for jitter. */
  readonly random?: () => number;
}

export interface ClientEvents {
  state: ConnectionState;
  /** The server or a backend made a subscription for this user. */
  subscribed: Subscription;
  /**
   * The server became degraded (true: publishes and new subscriptions wait, what exists stays), or is well again (false).
   */
  degraded: boolean;
  /** Something failed in the background; the client goes on. */
  error: ParlorError;
}

export class Client extends Emitter<ClientEvents> {
  readonly #options: ClientOptions;
  readonly #clock: Clock;
  readonly #connection: Connection;
  readonly #calls: Calls;
  readonly #subscriptions: Subscriptions;
  readonly #tokens: TokenSource;
  #session: SessionKey | undefined;
  #dedupWindowMs = DEDUP_WINDOW_MS;
  #isConnected = false;
  #degraded = false;
  #stopWaking = () => {};

  constructor(options: ClientOptions) {
    super();
    const { url, clock = systemClock, random = Math.random } = options;
    this.#options = options;
    this.#clock = clock;
    this.#tokens = new TokenSource(options.token, clock);
    this.#calls = new Calls(clock, random, options.pendingMax ?? PENDING_MAX);
    this.#subscriptions = new Subscriptions(this.#subscriptionsHost(random));
    const transport = typeof url === "string" ? new WebSocketTransport(url, options.webSocket) : url;
    this.#connection = new Connection({ transport, codec: options.codec ?? jsonCodec, clock, random }, this.#connectionHost());
  }

  get state(): ConnectionState {
    return this.#connection.state;
  }

  /** Connects and stays connected until {@link close}, or until the server wants it to stay away. */
  connect(): void {
    if (this.state.name === "closed") this.#stopWaking = onWake(() => this.#connection.wake());
    this.#connection.open();
  }

  /** Ends the connection and all that waits for an answer. Subscriptions come back with the next {@link connect}. */
  close(): void {
    this.#connection.close();
  }

  /**
   * Subscribes now or as soon as it is connected, and again after each reconnect.
   * @throws Error when this client holds a subscription to the channel already.
   */
  subscribe(channel: string, options: SubscribeOptions = {}): Subscription {
    const subscription = this.#subscriptions.add(channel, options);
    if (this.#isConnected) subscription.ask();
    return subscription;
  }

  /** The subscription that this client holds to a channel. */
  subscription(channel: string): Subscription | undefined {
    return this.#subscriptions.get(channel);
  }

  /** Resolves when the server has kept the message as it is now; it is sent again across reconnects until then. */
  async publish(channel: string, data: unknown, options: PublishOptions = {}): Promise<Published> {
    const { id = randomId(), echo, tags } = options;
    // Counted from here and not from the first sending: never resent after the server forgot the id.
    const longest = this.#dedupWindowMs * DEDUP_WINDOW_SHARE;
    const timeoutMs = Math.min(options.timeoutMs ?? longest, longest);
    const body = { channel, id, echo, tags: tags && { ...tags }, data: copyOf(data) };
    return this.#calls.call("publish", body, { resend: true, resendMs: longest, timeoutMs });
  }

  /** Fans out an event that is never logged. Rejects at once when not connected. */
  async signal(channel: string, data: unknown): Promise<void> {
    await this.#calls.call("signal", { channel, data }, { resend: false, timeoutMs: ASK_TIMEOUT_MS });
  }

  /** Reads a channel's log page by page, on demand. */
  history(channel: string, query: HistoryQuery = {}): AsyncGenerator<Page, void, void> {
    return historyPages(channel, query, (body) => this.#ask("history", body));
  }

  /** One page of who is in a channel; `limit` 0 asks for the counts alone. */
  presence(channel: string, page: { readonly limit?: number; readonly cursor?: string } = {}): Promise<Members> {
    return this.#ask("presence", { ...page, channel });
  }

  #ask<N extends CommandName>(name: N, body: Commands[N]): Promise<Replies[N]> {
    return this.#calls.call(name, body, ASK);
  }

  async #greeting(): Promise<Greeting> {
    const token = await this.#tokens.current();
    const { user, client, pingIntervalMs } = this.#options;
    const bare: Connect = {
      token,
      user,
      client: client ?? { name: "parlor-typescript", version: VERSION },
      session: this.#session,
      ping_interval_ms: pingIntervalMs,
    };
    const room = this.#connection.frameBytesMax - this.#connection.weigh({ name: "connect", body: bare }) - LIST_BYTES;
    const carried = this.#subscriptions.forConnect(room, (body) => this.#connection.weigh({ name: "subscribe", body }));
    return { connect: { ...bare, subscriptions: [...carried.values()] }, greeted: (reply) => this.#greeted(reply, carried) };
  }

  #greeted(reply: Connected, carried: Carried): void {
    this.#isConnected = true;
    this.#session = reply.session;
    this.#dedupWindowMs = reply.limits.dedup_window_ms;
    this.#tokens.accepted(reply.expires_in_ms);
    this.#calls.attach((command) => this.#connection.send([command]));
    this.#subscriptions.settle(carried, reply.subscriptions ?? []);
    this.#told(reply.degraded);
  }

  #lost(verdict: Verdict, reason: ParlorError): void {
    this.#isConnected = false;
    if (verdict === "fresh") this.#session = undefined;
    if (reason.needsToken || TOKEN_CLOSES.has(reason.code)) this.#tokens.refused();
    // Subscriptions first: they ask again by themselves, so the end of their calls is no failure to them.
    this.#subscriptions.detach(verdict);
    this.#calls.detach();
  }

  #changed(state: ConnectionState): void {
    if (state.name === "closed") {
      this.#stopWaking();
      this.#calls.rejectAll(state.reason);
    }
    this.emit("state", state);
  }

  #received(message: Exclude<ServerMessage, { name: "ping" | "disconnect" }>): void {
    if (message.type === "push") this.#push(message);
    else this.#calls.receive(message);
  }

  #push(push: Push): void {
    if (push.name === "token_expiring") return void this.#refresh();
    if (push.name === "status") return this.#told(push.body.degraded);
    const made = this.#subscriptions.push(push);
    if (made !== undefined) this.emit("subscribed", made);
  }

  #told(degraded = false): void {
    if (degraded === this.#degraded) return;
    this.#degraded = degraded;
    this.emit("degraded", degraded);
  }

  async #refresh(): Promise<void> {
    // A fixed token cannot be renewed: the server closes when it ends, and the close says why.
    if (!this.#tokens.canRefresh) return;
    try {
      const token = await this.#tokens.fresh();
      if (token === undefined) return;
      const reply = await this.#calls.callAnyway("refresh", { token }, { resend: false, timeoutMs: ASK_TIMEOUT_MS });
      this.#tokens.accepted(reply.expires_in_ms);
    } catch (error) {
      this.#tokens.refused();
      this.emit("error", error instanceof ParlorError ? error : ParlorError.local("token_unavailable", String(error)));
    }
  }

  #connectionHost(): ConnectionHost {
    return {
      greeting: () => this.#greeting(),
      hasAnotherToken: () => this.#tokens.hasAnother,
      received: (message) => this.#received(message),
      lost: (verdict, reason) => this.#lost(verdict, reason),
      changed: (state) => this.#changed(state),
    };
  }

  #subscriptionsHost(random: () => number): SubscriptionsHost {
    return {
      clock: this.#clock,
      random,
      isConnected: () => this.#isConnected,
      start: <N extends CommandName>(name: N, body: Commands[N], options: CallOptions, settled: Settled<N>) =>
        this.#calls.start(name, body, options, settled),
      ask: (name, body) => this.#ask(name, body),
      members: (channel, cursor) => this.#calls.callAnyway("presence", { channel, cursor }, ASK),
      publish: (channel, data, options) => this.publish(channel, data, options),
      signal: (channel, data) => this.signal(channel, data),
    };
  }
}

/** Closes after which the token at hand is worth nothing. */
const TOKEN_CLOSES: ReadonlySet<number> = new Set([CLOSE_CODES.token_expired, CLOSE_CODES.revoked, CLOSE_CODES.bad_token]);
/** More than the brackets and names around a list add to what it holds. */
const LIST_BYTES = 64;
const PENDING_MAX = 1_000;
const ASK_TIMEOUT_MS = 30_000;
const ASK: CallOptions = { resend: true, timeoutMs: ASK_TIMEOUT_MS };
/** Of the dedup window: the rest is for frames that are slow on their way. */
const DEDUP_WINDOW_SHARE = 0.9;
