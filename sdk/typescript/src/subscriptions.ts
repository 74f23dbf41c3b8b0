// All subscriptions of a client: by channel for the application, by alias for the connection's pushes.

import { ParlorError } from "./error.js";
import type { Verdict } from "./protocol/close-codes.js";
import type { Subscribe } from "./protocol/command.js";
import { ERROR_CODES } from "./protocol/error-codes.js";
import type { Push } from "./protocol/push.js";
import type { Subscribed, SubscribeOutcome } from "./protocol/reply.js";
import { Subscription, type SubscribeOptions, type SubscriptionHost } from "./subscription.js";

/** What the client gives; the registry adds itself. */
export type SubscriptionsHost = Omit<SubscriptionHost, "bind" | "unbind" | "release">;

/** The subscriptions of one `connect` command, and what each asks for. */
export type Carried = ReadonlyMap<Subscription, Subscribe>;

export class Subscriptions {
  readonly #byChannel = new Map<string, Subscription>();
  readonly #byAlias = new Map<number, Subscription>();
  readonly #host: SubscriptionHost;

  constructor(host: SubscriptionsHost) {
    this.#host = {
      ...host,
      bind: (alias, subscription) => void this.#byAlias.set(alias, subscription),
      unbind: (subscription) => this.#unbind(subscription),
      release: (subscription) => this.#release(subscription),
    };
  }

  get(channel: string): Subscription | undefined {
    return this.#byChannel.get(channel);
  }

  add(channel: string, options: SubscribeOptions): Subscription {
    if (this.#byChannel.has(channel)) throw new Error(`already subscribed to ${channel}`);
    const subscription = new Subscription(channel, options, this.#host);
    this.#byChannel.set(channel, subscription);
    return subscription;
  }

  /**
   * As many as a `connect` command with room for `bytesMax` may carry, and what each asks for; the others follow it. So do
   * those whose token must be fetched first: that this fails or takes long is no other channel's business.
   */
  forConnect(bytesMax: number, weigh: (body: Subscribe) => number): Carried {
    const carried = new Map<Subscription, Subscribe>();
    let room = bytesMax;
    for (const subscription of this.#byChannel.values()) {
      const body = subscription.request();
      if (body === undefined) continue;
      room -= weigh(body);
      if (room < 0 || carried.size === CONNECT_SUBSCRIPTIONS_MAX) break;
      carried.set(subscription, body);
    }
    return carried;
  }

  /**
   * Takes the outcomes of the `connect` command, and asks for what it did not carry; until a listener closes the
   * connection, which detaches all.
   */
  settle(carried: Carried, outcomes: readonly SubscribeOutcome[]): void {
    const byChannel = new Map(outcomes.map((outcome) => [outcome.channel, outcome]));
    for (const subscription of carried.keys()) {
      if (!this.#host.isConnected()) return;
      const outcome = byChannel.get(subscription.channel);
      if (outcome === undefined) subscription.refused(new ParlorError(ERROR_CODES.internal, "internal", "the connect reply has no outcome"));
      else if ("error" in outcome) subscription.refused(ParlorError.fromWire(outcome.error));
      else subscription.accepted(outcome);
    }
    for (const subscription of [...this.#byChannel.values()]) {
      if (this.#host.isConnected() && !carried.has(subscription)) subscription.ask();
    }
  }

  detach(verdict: Verdict): void {
    this.#byAlias.clear();
    for (const subscription of [...this.#byChannel.values()]) {
      if (verdict === "fresh") subscription.forgetPosition();
      subscription.detached();
    }
  }

  /** Hands a push to its subscription; returns one that it made. */
  push(push: Push): Subscription | undefined {
    switch (push.name) {
      case "event":
        return void this.#byAlias.get(push.body.alias)?.received(withoutAlias(push.body));
      case "advance":
        return void this.#byAlias.get(push.body.alias)?.advanced(push.body);
      case "presence":
        return void this.#byAlias.get(push.body.alias)?.presenceChanged(push.body);
      case "unsubscribed":
        return void this.#byAlias.get(push.body.alias)?.ended(push.body);
      case "subscribed":
        return this.#subscribedByServer(push.body);
      default:
        return undefined;
    }
  }

  #subscribedByServer(reply: Subscribed): Subscription | undefined {
    const known = this.get(reply.channel);
    const subscription = known ?? this.add(reply.channel, { presence: reply.presence });
    subscription.accepted(reply);
    return known === undefined ? subscription : undefined;
  }

  #unbind(subscription: Subscription): void {
    for (const [alias, bound] of this.#byAlias) if (bound === subscription) this.#byAlias.delete(alias);
  }

  #release(subscription: Subscription): void {
    if (this.#byChannel.get(subscription.channel) === subscription) this.#byChannel.delete(subscription.channel);
  }
}

/** Servers refuse a `connect` as a whole that names more channels than a connection may have: 512, unless they are set otherwise. */
const CONNECT_SUBSCRIPTIONS_MAX = 100;

function withoutAlias<E extends { readonly alias: number }>({ alias: _, ...event }: E): Omit<E, "alias"> {
  return event;
}
