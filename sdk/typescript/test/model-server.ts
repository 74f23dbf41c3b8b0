// A server of one channel, in memory, over links that break at random moments: a publish may be lost before it is kept,
// or kept and not answered, or be refused for now; events may stop in the middle; now and then one is sent twice or is missing.

import type { Clock, LinkHandlers, Transport } from "../src/index.js";
import { CONNECTED, type Json } from "./fake-server.js";

export class ModelServer {
  readonly log: Json[] = [];
  /** How often a publish arrived under an id that was known already. */
  duplicates = 0;
  #links = new Set<ModelLink>();
  readonly #clock: Clock;
  readonly #random: () => number;
  #isCalm = false;

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  readonly transport: Transport = {
    open: (_subprotocol, handlers) => {
      const link = new ModelLink(this, handlers);
      this.#links.add(link);
      this.later(() => (this.chance(0.2) ? link.break() : handlers.opened()));
      return { send: (frame) => this.later(() => link.hear(String(frame))), close: () => link.end() };
    },
  };

  /** From now on nothing goes wrong. */
  calm(): void {
    this.#isCalm = true;
  }

  chance(share: number): boolean {
    return !this.#isCalm && this.#random() < share;
  }

  later(act: () => void): void {
    this.#clock.after(this.#random() * 20, act);
  }

  publish(body: Json): Json {
    let event = this.log.find(({ id }) => id === body["id"]);
    if (event === undefined) {
      const offset = this.log.length + 1;
      event = { kind: "message", offset, position: `p${offset}`, time: "17000000000000001", id: body["id"], data: body["data"] };
      this.log.push(event);
      for (const link of this.#links) link.deliver();
    } else {
      this.duplicates++;
    }
    return { offset: event["offset"], position: event["position"], time: event["time"], durability: "disk" };
  }

  forget(link: ModelLink): void {
    this.#links.delete(link);
  }
}

class ModelLink {
  readonly #server: ModelServer;
  readonly #handlers: LinkHandlers;
  #isOver = false;
  /** The newest offset that was sent; undefined while not subscribed. */
  #sent: number | undefined;

  constructor(server: ModelServer, handlers: LinkHandlers) {
    this.#server = server;
    this.#handlers = handlers;
  }

  hear(frame: string): void {
    if (this.#isOver) return;
    const { id, ...named } = JSON.parse(frame) as Json;
    const [name, body] = Object.entries(named)[0] as [string, Json];
    if (this.#server.chance(0.03)) return this.break();
    if (name === "publish" && this.#server.chance(0.1)) return this.#say({ id, error: REFUSALS[this.#server.log.length % 2] });
    const reply = this.#answer(name, body);
    if (this.#server.chance(0.03)) return this.break();
    if (id !== undefined) this.#say({ id, [name]: reply });
    this.deliver();
  }

  deliver(): void {
    while (!this.#isOver && this.#sent !== undefined && this.#sent < this.#server.log.length) {
      if (this.#server.chance(0.02)) return this.break();
      // A faulty server: skips one, or says one again.
      if (this.#server.chance(0.02)) this.#sent++;
      else if (this.#server.chance(0.02) && this.#sent > 0) this.#sent--;
      const event = this.#server.log[this.#sent++];
      if (event !== undefined) this.#say({ event: { alias: 1, ...event } });
    }
  }

  break(): void {
    if (this.#isOver) return;
    this.end();
    this.#handlers.closed(1006, "");
  }

  end(): void {
    this.#isOver = true;
    this.#server.forget(this);
  }

  #answer(name: string, body: Json): Json {
    if (name === "connect") return { ...CONNECTED, subscriptions: (body["subscriptions"] as Json[]).map((each) => this.#subscribe(each)) };
    if (name === "subscribe") return this.#subscribe(body);
    if (name === "publish") return this.#server.publish(body);
    this.#sent = undefined;
    return {};
  }

  #subscribe({ channel, recover }: Json): Json {
    const top = this.#server.log.length;
    const from = (recover as { from?: string } | undefined)?.from;
    this.#sent = from === undefined ? 0 : Number(from.slice(1));
    const missed = this.#sent < top ? { from: this.#sent + 1, to: top } : {};
    return { channel, alias: 1, position: `p${top}`, offset: top, recovered: true, durability: "disk", ...missed };
  }

  #say(message: Json): void {
    this.#handlers.received(JSON.stringify(message));
  }
}

/** Of the channel's log, and of the connection's rate. */
const REFUSALS = [{ code: 1002, name: "storage_unavailable", text: "", retry_after_ms: 300 }, { code: 1001, name: "rate_limited", text: "", retry_after_ms: 10 }];
