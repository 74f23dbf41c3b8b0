// The server's end of a link, played by the test: sees commands as JSON, answers with JSON.

import assert from "node:assert/strict";
import { Client, type ClientOptions, type Frame, type LinkHandlers, type Transport } from "../src/index.js";
import { FakeClock, settle } from "./fake-clock.js";

export type Json = Record<string, unknown>;

/** One link as the server sees it. */
export class FakeLink {
  readonly sent: Json[] = [];
  /** The bytes of each frame that was sent. */
  readonly bytes: number[] = [];
  isClosed = false;
  #handlers: LinkHandlers;
  #read = 0;

  constructor(handlers: LinkHandlers) {
    this.#handlers = handlers;
  }

  receive(frame: Frame): void {
    const value = JSON.parse(String(frame)) as Json | Json[];
    this.bytes.push(Buffer.byteLength(frame));
    this.sent.push(...(Array.isArray(value) ? value : [value]));
  }

  open(): void {
    this.#handlers.opened();
  }

  /** Says one object, or several in one frame. */
  async say(...messages: Json[]): Promise<void> {
    if (!this.isClosed) this.#handlers.received(JSON.stringify(messages.length === 1 ? messages[0] : messages));
    await settle();
  }

  async break(code = 1006, text = ""): Promise<void> {
    this.#handlers.closed(code, text);
    await settle();
  }

  /** The next command that has not been looked at, which must be of this name. */
  expect(name: string): { id: number; body: Json } {
    const command = this.sent[this.#read++];
    assert.ok(command !== undefined, `a ${name} command is expected, nothing was sent`);
    assert.ok(name in command, `a ${name} command is expected, not ${JSON.stringify(command)}`);
    return { id: command["id"] as number, body: command[name] as Json };
  }

  expectNothing(): void {
    assert.deepEqual(this.sent.slice(this.#read), []);
  }

  /** Answers the next command, which must be of this name. */
  async answer(name: string, reply: Json): Promise<Json> {
    const { id, body } = this.expect(name);
    await this.say("code" in reply ? { id, error: { name: "test", text: "", ...reply } } : { id, [name]: reply });
    return body;
  }
}

/** A client with a fake clock, and the links that it opens. */
export class Scene {
  readonly clock = new FakeClock();
  readonly links: FakeLink[] = [];
  readonly client: Client;
  readonly states: string[] = [];
  readonly #transport: Transport = {
    open: (_subprotocol, handlers) => {
      const link = new FakeLink(handlers);
      this.links.push(link);
      return { send: (frame) => link.receive(frame), close: () => void (link.isClosed = true) };
    },
  };

  constructor(options: Partial<ClientOptions> = {}) {
    // Half of every backoff range, so that waits are known: 250 ms, 500 ms, 1 s…
    this.client = new Client({ url: this.#transport, clock: this.clock, random: () => 0.5, user: "ann", ...options });
    this.client.on("state", (state) => this.states.push("reason" in state ? `${state.name}:${state.reason.name}` : state.name));
  }

  get link(): FakeLink {
    const link = this.links.at(-1);
    assert.ok(link !== undefined, "no link was opened");
    return link;
  }

  /** Connects, or completes a reconnect that is under way; returns the connect command. */
  async greet(reply: Json = {}): Promise<Json> {
    if (this.client.state.name === "closed") this.client.connect();
    await settle();
    this.link.open();
    return this.link.answer("connect", { ...CONNECTED, ...reply });
  }

  /** Breaks the link and completes the reconnect that follows. */
  async reconnect(reply: Json = {}, code = 1006): Promise<Json> {
    await this.link.break(code);
    await this.waitOut();
    return this.greet(reply);
  }

  /** Lets the wait before the next attempt pass, and no more. */
  async waitOut(): Promise<void> {
    const { state } = this.client;
    await this.clock.pass(state.name === "disconnected" ? state.retryInMs : 0);
  }
}

export const CONNECTED: Json = {
  connection: "c1",
  session: { id: "s1", secret: "x1" },
  user: "ann",
  server: "fake",
  time: "17000000000000000",
  ping_interval_ms: 25_000,
  features: [],
  limits: {
    frame_bytes_max: 65_536,
    commands_per_frame_max: 128,
    channels_max: 512,
    payload_bytes_max: 32_768,
    history_page_max: 1_000,
    dedup_window_ms: 300_000,
  },
};

export function subscribed(fields: Json = {}): Json {
  return { channel: "room:a", alias: 7, position: "p0", offset: 0, durability: "disk", ...fields };
}

export function event(offset: number, fields: Json = {}): Json {
  return {
    event: { alias: 7, kind: "message", offset, seq: offset, position: `p${offset}`, time: "17000000000000001", data: offset, ...fields },
  };
}
