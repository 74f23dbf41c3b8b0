import assert from "node:assert/strict";
import { test } from "node:test";
import type { SubscribeOptions, Subscription } from "../src/index.js";
import { settle } from "./fake-clock.js";
import { CONNECTED, event, Scene, subscribed, type Json } from "./fake-server.js";

/** A subscribed scene that records what the application is told. */
class Room extends Scene {
  readonly got: unknown[] = [];
  readonly told: string[] = [];
  readonly room: Subscription;

  constructor(options: SubscribeOptions = {}) {
    super();
    this.room = this.client.subscribe("room:a", options);
    this.room.on("event", ({ offset, data }) => this.got.push(offset ?? data));
    this.room.on("state", (state) => this.told.push("reason" in state ? `${state.name}:${state.reason.name}` : state.name));
    this.room.on("reset", (reason) => this.told.push(`reset:${reason}`));
    this.room.on("error", (error) => this.told.push(`error:${error.name}`));
  }

  /** Connects with the subscription's outcome; returns what was asked for the channel. */
  async join(outcome: Json = subscribed()): Promise<Json | undefined> {
    return askedIn(await this.greet({ subscriptions: [outcome] }));
  }

  async rejoin(outcome: Json, code = 1006): Promise<Json | undefined> {
    return askedIn(await this.reconnect({ subscriptions: [outcome] }, code));
  }
}

/** Connects with an outcome for each subscription that is carried; returns the connect command. */
async function greetAll(scene: Scene, limits: unknown = CONNECTED["limits"]): Promise<Json> {
  if (scene.client.state.name === "closed") scene.client.connect();
  await settle();
  scene.link.open();
  const { id, body } = scene.link.expect("connect");
  const subscriptions = (body["subscriptions"] as Json[]).map(({ channel }, alias) => subscribed({ channel, alias }));
  await scene.link.say({ id, connect: { ...CONNECTED, limits, subscriptions } });
  return body;
}

function askedIn(connect: Json): Json | undefined {
  return (connect["subscriptions"] as Json[])[0];
}

test("connect carries the subscription, and its events arrive once and in order", async () => {
  const scene = new Room();
  assert.deepEqual(await scene.join(), { channel: "room:a" });
  await scene.link.say(event(1), event(2));
  await scene.link.say(event(2));
  await scene.link.say(event(1));
  await scene.link.say(event(3, { kind: "novelty" }));
  assert.deepEqual(scene.got, [1, 2, 3]);
  assert.deepEqual(scene.told, ["subscribed"]);
});

test("a subscription on a live connection is asked for at once, before a publish called next", async () => {
  const scene = new Scene();
  await scene.greet();
  const room = scene.client.subscribe("room:a");
  void room.publish("hi");
  await scene.link.answer("subscribe", subscribed());
  scene.link.expect("publish");
  await room.whenSubscribed();
});

test("an event right behind the reply in the same frame is not lost", async () => {
  const scene = new Scene();
  await scene.greet();
  const room = scene.client.subscribe("room:a");
  const got: unknown[] = [];
  room.on("message", ({ data }) => got.push(data));
  const { id } = scene.link.expect("subscribe");
  await scene.link.say({ id, subscribe: subscribed() }, event(1));
  assert.deepEqual(got, [1]);
});

test("resumes from the newest event, under whatever alias", async () => {
  const scene = new Room();
  await scene.join();
  await scene.link.say(event(1));
  assert.deepEqual(await scene.rejoin(subscribed({ alias: 9, recovered: true, from: 2, to: 3, offset: 3 })), { channel: "room:a", recover: { from: "p1" } });
  await scene.link.say(event(2));
  await scene.link.say(event(2, { alias: 9 }), event(3, { alias: 9 }));
  assert.deepEqual(scene.got, [1, 2, 3]);
  assert.deepEqual(scene.told, ["subscribed", "subscribing", "subscribed"]);
});

test("a resume that broke in the middle goes on where it broke", async () => {
  const scene = new Room({ recover: { latest: 3 } });
  assert.deepEqual(await scene.join(subscribed({ recovered: true, from: 5, to: 7, offset: 7, position: "p7" })), { channel: "room:a", recover: { latest: 3 } });
  assert.deepEqual((await scene.rejoin(subscribed({ recovered: true, from: 6, to: 8, offset: 8, position: "p8" })))?.["recover"], { latest: 3 });
  await scene.link.say(event(6));
  assert.deepEqual((await scene.rejoin(subscribed({ recovered: true, from: 7, to: 8, offset: 8 })))?.["recover"], { from: "p6" });
  await scene.link.say(event(7), event(8));
  assert.deepEqual(scene.got, [6, 7, 8]);
});

test("with nothing missed it stands where the reply says", async () => {
  const scene = new Room();
  await scene.join(subscribed({ offset: 4, position: "p4" }));
  assert.deepEqual((await scene.rejoin(subscribed({ offset: 4, position: "p4", recovered: true })))?.["recover"], { from: "p4" });
  await scene.link.say(event(5));
  assert.deepEqual(scene.got, [5]);
});

test("a hole in offsets is never skipped over: it resumes from before the hole", async () => {
  const scene = new Room();
  await scene.join();
  await scene.link.say(event(1), event(3), event(4));
  assert.deepEqual(scene.got, [1]);
  await scene.clock.pass(500);
  scene.link.expect("unsubscribe");
  await scene.link.say(event(5));
  const asked = await scene.link.answer("subscribe", subscribed({ recovered: true, from: 2, to: 4, offset: 4 }));
  assert.deepEqual(asked["recover"], { from: "p1" });
  await scene.link.say(event(2), event(3), event(4));
  assert.deepEqual(scene.got, [1, 2, 3, 4]);
  assert.deepEqual(scene.told, ["subscribed", "subscribing", "error:gap", "subscribed"]);
});

test("an incomplete resume is told, with its reason", async () => {
  const scene = new Room();
  await scene.join();
  await scene.link.say(event(1));
  await scene.rejoin(subscribed({ recovered: false, reason: "epoch_changed", offset: 9, position: "q9" }));
  await scene.link.say(event(10));
  assert.deepEqual(scene.got, [1, 10]);
  assert.ok(scene.told.includes("reset:epoch_changed"));
});

test("coming back fresh forgets the position, and says so", async () => {
  const scene = new Room({ recover: { latest: 2 } });
  await scene.join(subscribed({ recovered: true }));
  await scene.link.say(event(1));
  assert.deepEqual((await scene.rejoin(subscribed({ recovered: true, from: 1, to: 1 }), 4200))?.["recover"], { latest: 2 });
  assert.ok(scene.told.includes("reset:fresh"));
});

test("what is passed over by policy is no hole", async () => {
  const scene = new Room();
  await scene.join();
  await scene.link.say({ advance: { alias: 7, offset: 5, position: "p5", reason: "skipped" } }, event(6));
  assert.deepEqual(scene.got, [6]);
  assert.deepEqual((await scene.rejoin(subscribed({ recovered: true, offset: 6, position: "p6" })))?.["recover"], { from: "p6" });
});

test("signals and one's own echo do not disturb the order", async () => {
  const scene = new Room();
  await scene.join();
  const messages: unknown[] = [];
  scene.room.on("message", ({ data }) => messages.push(data));
  await scene.link.say(event(1), { event: { alias: 7, kind: "signal", time: "1", data: "typing" } }, event(2, { own: true, data: undefined }), event(3));
  assert.deepEqual(scene.got, [1, "typing", 2, 3]);
  assert.deepEqual(messages, [1, 3]);
});

test("an erased message is no message any more, and an erasure is told", async () => {
  const scene = new Room();
  await scene.join();
  const messages: unknown[] = [];
  scene.room.on("message", ({ data }) => messages.push(data));
  const erasure = { kind: "erase", seq: undefined, data: { offsets: [1, 2] } };
  await scene.link.say(event(1), event(2, { erased: true, data: undefined }), event(3, erasure), event(4));
  assert.deepEqual(messages, [1, 4]);
  assert.deepEqual(scene.got, [1, 2, 3, 4]);
  assert.deepEqual(scene.told, ["subscribed"]);
});

test("a refusal ends the subscription, and the channel is free again", async () => {
  const scene = new Room();
  const joined = scene.room.whenSubscribed();
  joined.catch(() => {});
  await scene.join({ channel: "room:a", error: { code: 2008, name: "not_permitted", text: "no" } });
  await assert.rejects(joined, { name: "not_permitted" });
  assert.deepEqual(scene.told, ["unsubscribed:not_permitted"]);
  scene.client.subscribe("room:a");
});

test("a busy server is asked again", async () => {
  const scene = new Room();
  await scene.join({ channel: "room:a", error: { code: 1000, name: "busy", text: "", retry_after_ms: 40 } });
  await scene.clock.pass(40);
  await scene.link.answer("subscribe", subscribed());
  assert.deepEqual(scene.told, ["error:busy", "subscribed"]);
});

test("two subscriptions to one channel are refused, one after the other is not", async () => {
  const scene = new Room();
  await scene.join();
  assert.throws(() => scene.client.subscribe("room:a"), /already subscribed/);
  scene.room.unsubscribe();
  const again = scene.client.subscribe("room:a");
  scene.link.expect("unsubscribe");
  await scene.link.answer("subscribe", subscribed());
  await scene.link.say(event(1));
  assert.deepEqual(scene.got, []);
  assert.equal(again.position, "p1");
});

test("unsubscribing while the connection is made is made up for", async () => {
  const scene = new Room();
  scene.client.connect();
  await scene.clock.pass(0);
  scene.room.unsubscribe();
  await scene.join();
  scene.link.expect("unsubscribe");
  await scene.link.say(event(1));
  assert.deepEqual(scene.got, []);
});

test("the server ends a subscription for good, or wants it again", async () => {
  const scene = new Room();
  await scene.join();
  await scene.link.say(event(1), { unsubscribed: { alias: 7, channel: "room:a", code: 1000, reason: "expired", resubscribe: true } });
  await scene.clock.pass(500);
  assert.deepEqual((await scene.link.answer("subscribe", subscribed({ recovered: true })))["recover"], { from: "p1" });
  await scene.link.say({ unsubscribed: { alias: 7, channel: "room:a", code: 2008, reason: "banned", resubscribe: false } });
  assert.equal(scene.told.at(-1), "unsubscribed:unsubscribed");
  assert.equal(scene.client.subscription("room:a"), undefined);
});

test("a subscription that the server made is handed out", async () => {
  const scene = new Scene();
  const made: string[] = [];
  scene.client.on("subscribed", ({ channel }) => made.push(channel));
  await scene.greet();
  await scene.link.say({ subscribed: subscribed({ channel: "inbox:ann", alias: 3 }) });
  assert.deepEqual(made, ["inbox:ann"]);
  const connect = await scene.reconnect();
  assert.deepEqual(askedIn(connect), { channel: "inbox:ann", recover: { from: "p0" } });
});

test("a channel's own token comes from its own source", async () => {
  const scene = new Room({ token: async () => "for-a" });
  await scene.greet();
  assert.equal((await scene.link.answer("subscribe", subscribed()))["token"], "for-a");
  assert.equal(askedIn(await scene.reconnect()), undefined);
  assert.equal((await scene.link.answer("subscribe", subscribed()))["token"], "for-a");
});

for (const [how, token] of [
  ["rejects", () => Promise.reject(new Error("backend down"))],
  ["throws", () => { throw new Error("backend down"); }],
  ["never answers", () => new Promise<string>(() => {})],
] as const) {
  test(`a channel whose token function ${how} keeps no other channel and no client offline`, async () => {
    const scene = new Room({ token });
    const other = scene.client.subscribe("room:b");
    scene.client.connect();
    await scene.clock.pass(1_000);
    const connect = await scene.greet({ subscriptions: [subscribed({ channel: "room:b" })] });
    assert.equal((connect["subscriptions"] as Json[]).length, 1);
    assert.deepEqual([scene.states, other.state.name], [["connecting", "connected"], "subscribed"]);
    assert.deepEqual(scene.told, how === "never answers" ? [] : ["error:token_unavailable"]);
    scene.link.expectNothing();
  });
}

test("a token function that throws ends no call of subscribe, and is asked again", async () => {
  const scene = new Scene();
  await scene.greet();
  let asked = 0;
  const token = (): Promise<string> => {
    if (++asked === 1) throw new Error("backend down");
    return Promise.resolve("for-a");
  };
  scene.client.subscribe("room:a", { token });
  await scene.clock.pass(250);
  assert.equal((await scene.link.answer("subscribe", subscribed()))["token"], "for-a");
});

test("connect is no larger than a frame of this server may be, and what it cannot carry follows it", async () => {
  const scene = new Scene({ user: "ännchen" });
  const token = "t".repeat(700);
  const channels = Array.from({ length: 95 }, (_, room) => `room:${room}`);
  for (const channel of channels) scene.client.subscribe(channel, { token });
  const limits = { ...(CONNECTED["limits"] as Json), frame_bytes_max: 10_000 };
  for (const bytesMax of [65_536, 10_000]) {
    const connect = await greetAll(scene, limits);
    const bytes = scene.link.bytes[0] ?? 0;
    assert.ok(bytes <= bytesMax && bytes > bytesMax * 0.9, `${bytes} bytes`);
    const asked = scene.link.sent.flatMap((command) => ("subscribe" in command ? [command["subscribe"] as Json] : []));
    assert.deepEqual([...(connect["subscriptions"] as Json[]), ...asked].map(({ channel }) => channel), channels);
    await scene.link.break();
    await scene.waitOut();
  }
});

for (const how of ["without", "with"]) {
  test(`a subscription ${how} a token function that a listener makes while outcomes are told is asked for once`, async () => {
    const scene = new Scene();
    let fetched = 0;
    const options = how === "with" ? { token: async () => `t${++fetched}` } : {};
    const rooms = ["room:a", "room:b"].map((channel) => scene.client.subscribe(channel));
    rooms[0]?.on("state", ({ name }) => name === "subscribed" && scene.client.subscribe("room:c", options));
    await scene.greet({ subscriptions: rooms.map(({ channel }, alias) => subscribed({ channel, alias })) });
    const { token } = await scene.link.answer("subscribe", subscribed({ channel: "room:c", alias: 9 }));
    assert.equal(token, how === "with" ? "t1" : undefined);
    scene.link.expectNothing();
    assert.equal(scene.client.subscription("room:c")?.state.name, "subscribed");
  });
}

test("a subscription that a listener ends while others are asked for is not asked for any more", async () => {
  const scene = new Scene();
  const later = Array.from({ length: 102 }, (_, room) => scene.client.subscribe(`room:${room}`)).slice(100);
  // Its token makes the first one too large to be sent: it ends while the others are asked for.
  const large = scene.client.subscribe("room:large", { token: "t".repeat(70_000) });
  const last = scene.client.subscribe("room:last");
  large.on("state", () => last.unsubscribe());
  await greetAll(scene);
  for (const { channel } of later) assert.equal(scene.link.expect("subscribe").body["channel"], channel);
  assert.deepEqual([large.state.name, last.state.name], ["unsubscribed", "unsubscribed"]);
  scene.link.expectNothing();
});

test("outcomes go to the channels that they name, in whatever order", async () => {
  const scene = new Scene();
  const rooms = ["room:a", "room:b", "room:c"].map((channel) => scene.client.subscribe(channel));
  const refused = { channel: "room:a", error: { code: 2008, name: "not_permitted", text: "no" } };
  await scene.greet({ subscriptions: [subscribed({ channel: "room:b" }), refused] });
  assert.deepEqual(rooms.map(({ state }) => state.name), ["unsubscribed", "subscribed", "subscribing"]);
});

test("an attempt whose token comes too late changes nothing of the next one", async () => {
  const tokens: ((token: string) => void)[] = [];
  const scene = new Scene({ token: () => new Promise((resolve) => tokens.push(resolve)) });
  const first = scene.client.subscribe("room:a");
  const rooms = [scene.client.subscribe("room:b")];
  scene.client.connect();
  await scene.clock.pass(15_000);
  await scene.waitOut();
  tokens[1]?.("second");
  await settle();
  scene.link.open();
  const { id, body } = scene.link.expect("connect");
  assert.deepEqual(body["subscriptions"], [{ channel: "room:a" }, { channel: "room:b" }]);
  first.unsubscribe();
  rooms.push(scene.client.subscribe("room:c"));
  tokens[0]?.("first");
  await settle();
  await scene.link.say({ id, connect: { ...CONNECTED, subscriptions: [subscribed(), subscribed({ channel: "room:b", alias: 8 })] } });
  scene.link.expect("unsubscribe");
  assert.deepEqual((await scene.link.answer("subscribe", subscribed({ channel: "room:c", alias: 9 })))["channel"], "room:c");
  scene.link.expectNothing();
  await scene.link.say(event(1, { alias: 8 }));
  assert.deepEqual(rooms.map(({ state, position }) => [state.name, position]), [["subscribed", "p1"], ["subscribed", "p0"]]);
});

test("what connect cannot carry follows it", async () => {
  const scene = new Scene();
  for (let room = 0; room < 150; room++) scene.client.subscribe(`room:${room}`);
  const connect = await greetAll(scene);
  assert.equal((connect["subscriptions"] as Json[]).length, 100);
  assert.equal(scene.link.sent.filter((command) => "subscribe" in command).length, 50);
});
