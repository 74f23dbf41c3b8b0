// All subscriptions of a client: by channel for the application, by alias for the connection's pushes.

import { ParlorError } from "./error.js";
import type { Verdict } from "./protocol/close-codes.js";
import { ERROR_CODES } from "./protocol/error-codes.js";
import type { Push } from "./protocol/push.js";
import type { Subscribed, SubscribeOutcome } from "./protocol/reply.js";
import { Subscription, type SubscribeOptions, type SubscriptionHost } from "./subscription.js";

/** What the client gives; the registry adds itself. */
export type SubscriptionsHost = Omit<SubscriptionHost, "bind" | "unbind" | "release">;

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
   * As many as one `connect` command may carry; the others follow it. So do those whose token must be fetched first: that
   * this fails or takes long is no other channel's business.
   */
  forConnect(): Subscription[] {
    return [...this.#byChannel.values()].filter((subscription) => subscription.request() !== undefined).slice(0, CONNECT_SUBSCRIPTIONS_MAX);
  }

  /** Takes the outcomes of the `connect` command, and asks for what it did not carry. */
  settle(carried: readonly Subscription[], outcomes: readonly SubscribeOutcome[]): void {
    carried.forEach((subscription, index) => {
      const outcome = outcomes[index];
      if (outcome === undefined) subscription.refused(new ParlorError(ERROR_CODES.internal, "internal", "the connect reply has no outcome"));
      else if ("error" in outcome) subscription.refused(ParlorError.fromWire(outcome.error));
      else subscription.accepted(outcome);
    });
    const asked = new Set(carried);
    for (const subscription of [...this.#byChannel.values()]) if (!asked.has(subscription)) subscription.ask();
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

/**
 * Names have at most 255 bytes and positions 128, so this many always fit a frame with a token of its longest beside
 * them, unless they carry tokens of their own.
 */
const CONNECT_SUBSCRIPTIONS_MAX = 100;

function withoutAlias<E extends { readonly alias: number }>({ alias: _, ...event }: E): Omit<E, "alias"> {
  return event;
}
