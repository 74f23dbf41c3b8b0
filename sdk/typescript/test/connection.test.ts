import assert from "node:assert/strict";
import { test } from "node:test";
import { ParlorError } from "../src/index.js";
import { settle } from "./fake-clock.js";
import { CONNECTED, Scene, subscribed, type Json } from "./fake-server.js";

test("connects, and says who and what it is", async () => {
  const scene = new Scene();
  const connect = await scene.greet();
  assert.equal(connect["user"], "ann");
  assert.deepEqual(connect["client"], { name: "parlor-typescript", version: "0.1.0" });
  assert.deepEqual(scene.states, ["connecting", "connected"]);
});

test("answers the server's ping with a pong that has no number", async () => {
  const scene = new Scene();
  await scene.greet();
  await scene.link.say({ ping: {} });
  assert.deepEqual(scene.link.sent.at(-1), { pong: {} });
});

test("takes its session over after a lost connection", async () => {
  const scene = new Scene();
  await scene.greet();
  const connect = await scene.reconnect();
  assert.deepEqual(connect["session"], { id: "s1", secret: "x1" });
  assert.deepEqual(scene.states.slice(2), ["disconnected:connection_lost", "connecting", "connected"]);
});

test("waits longer after each failure, and briefly again after a stable life", async () => {
  const scene = new Scene();
  const waits: number[] = [];
  scene.client.on("state", (state) => state.name === "disconnected" && waits.push(state.retryInMs));
  scene.client.connect();
  for (let failure = 0; failure < 8; failure++) {
    await scene.clock.pass(failure === 0 ? 0 : 10_000);
    await scene.link.break();
  }
  assert.deepEqual(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
  await scene.clock.pass(10_000);
  await scene.greet();
  await scene.clock.pass(10_000);
  await scene.link.break();
  assert.equal(waits.at(-1), 250);
});

test("waits as long as the server advises", async () => {
  const scene = new Scene();
  await scene.greet();
  await scene.link.say({ disconnect: { code: 4000, name: "draining", text: "bye", retry_after_ms: 1_234 } });
  const { state } = scene.client;
  assert.ok(state.name === "disconnected");
  assert.equal(state.retryInMs, 1_234);
  assert.equal(state.reason.code, 4000);
});

for (const [code, name] of [[4000, "disconnected"], [4199, "disconnected"], [4200, "disconnected"], [4399, "disconnected"],
  [4400, "closed"], [4599, "closed"], [1002, "closed"], [1003, "closed"], [1007, "closed"], [1009, "closed"],
  [1000, "disconnected"], [1006, "disconnected"], [1011, "disconnected"], [4600, "disconnected"], [4999, "disconnected"]] as const) {
  test(`after close code ${code} it is ${name}`, async () => {
    const scene = new Scene();
    await scene.greet();
    await scene.link.break(code);
    assert.equal(scene.client.state.name, name);
  });
}

test("comes back fresh, without its session, when the server says so", async () => {
  const scene = new Scene();
  await scene.greet();
  const connect = await scene.reconnect({}, 4201);
  assert.equal(connect["session"], undefined);
});

test("a server that falls silent is left, but not a moment too early", async () => {
  const scene = new Scene();
  await scene.greet();
  await scene.clock.pass(34_999);
  assert.equal(scene.client.state.name, "connected");
  await scene.link.say({ ping: {} });
  await scene.clock.pass(34_999);
  assert.equal(scene.client.state.name, "connected");
  await scene.clock.pass(1);
  assert.ok(scene.states.includes("disconnected:silent"));
});

test("an attempt that never opens is given up", async () => {
  const scene = new Scene();
  scene.client.connect();
  await scene.clock.pass(15_000);
  assert.equal(scene.states[1], "disconnected:connect_timeout");
});

test("a frame that is not of the documented form ends the link, not the client", async () => {
  const scene = new Scene();
  await scene.greet();
  await scene.link.say(7 as never);
  assert.equal(scene.states.at(-1), "disconnected:bad_frame");
  await scene.waitOut();
  await scene.greet();
  assert.equal(scene.client.state.name, "connected");
});

test("unknown pushes, fields and codes are no fault", async () => {
  const scene = new Scene();
  await scene.greet({ novelty: 1 });
  await scene.link.say({ novelty: { a: 1 } }, { event: { alias: 99, kind: "message" } }, {});
  assert.equal(scene.client.state.name, "connected");
});

test("a frame is held against the limit of this server", async () => {
  const scene = new Scene();
  await scene.greet({ limits: { ...(CONNECTED["limits"] as Json), frame_bytes_max: 10_000 } });
  const publish = scene.client.publish("room:a", "€".repeat(4_000));
  scene.link.expectNothing();
  await assert.rejects(publish, { name: "too_large" });
});

test("what a dead link still says is not heard", async () => {
  const scene = new Scene();
  await scene.greet();
  const old = scene.link;
  await old.break();
  await scene.clock.pass(250);
  old.isClosed = false;
  await old.say({ disconnect: { code: 4401, name: "disconnected", text: "" } });
  await old.break(4401);
  assert.equal(scene.client.state.name, "connecting");
});

test("a refused connect closes when trying again cannot help", async () => {
  const scene = new Scene({ token: "bad" });
  await scene.greet({ code: 3000 });
  assert.equal(scene.client.state.name, "closed");
});

test("a busy server is tried again", async () => {
  const scene = new Scene();
  await scene.greet({ code: 1002, retry_after_ms: 700 });
  assert.ok(scene.client.state.name === "disconnected" && scene.client.state.retryInMs === 700);
});

test("a closed client stays closed until it is connected again", async () => {
  const scene = new Scene();
  await scene.greet();
  scene.client.close();
  assert.equal(scene.link.isClosed, true);
  await scene.clock.pass(60_000);
  assert.equal(scene.links.length, 1);
  await scene.greet();
  assert.deepEqual(scene.states.slice(2), ["closed:closed_by_application", "connecting", "connected"]);
});

for (const [name, closes] of [
  ["connecting", (scene: Scene, close: () => void) => scene.client.on("state", ({ name }) => name === "connecting" && close())],
  ["connected", (scene: Scene, close: () => void) => scene.client.on("state", ({ name }) => name === "connected" && close())],
  ["a subscription is subscribed", (scene: Scene, close: () => void) => scene.client.subscription("room:a")?.on("state", ({ name }) => name === "subscribed" && close())],
  ["a subscription is subscribing", (scene: Scene, close: () => void) => scene.client.subscription("room:a")?.on("state", ({ name }) => name === "subscribing" && close())],
  ["disconnected", (scene: Scene, close: () => void) => scene.client.on("state", ({ name }) => name === "disconnected" && close())],
] as const) {
  test(`a client that a listener closes when ${name} is closed for good`, async () => {
    const scene = new Scene();
    const rooms = ["room:a", "room:b"].map((channel) => scene.client.subscribe(channel));
    let times = 0;
    closes(scene, () => void (times++ === 0 && scene.client.close()));
    scene.client.connect();
    await settle();
    if (scene.links.length > 0) {
      scene.link.open();
      const subscriptions = rooms.map(({ channel }, alias) => subscribed({ channel, alias }));
      await scene.link.answer("connect", { ...CONNECTED, subscriptions });
      await scene.link.break();
    }
    await scene.clock.pass(120_000);
    assert.equal(scene.states.at(-1), "closed:closed_by_application");
    assert.deepEqual(rooms.map(({ state }) => state.name), ["subscribing", "subscribing"]);
    assert.ok(scene.links.length <= 1);
  });
}

test("a client that is closed twice, once by a listener, says so once", async () => {
  const scene = new Scene();
  scene.client.subscribe("room:a").on("state", ({ name }) => name === "subscribing" && scene.client.close());
  await scene.greet({ subscriptions: [subscribed()] });
  scene.client.close();
  assert.deepEqual(scene.states, ["connecting", "connected", "closed:closed_by_application"]);
});

test("a client that a listener closes and connects again makes one new attempt", async () => {
  const scene = new Scene();
  scene.client.subscribe("room:a").on("state", ({ name }) => {
    if (name !== "subscribing") return;
    scene.client.close();
    scene.client.connect();
  });
  await scene.greet({ subscriptions: [subscribed()] });
  await scene.link.break();
  await scene.greet({ subscriptions: [subscribed()] });
  await scene.clock.pass(20_000);
  assert.equal(scene.links.length, 2);
  assert.deepEqual(scene.states.slice(2), ["closed:closed_by_application", "connecting", "connected"]);
});

test("a token is fetched once, again when it ended, and renewed in band", async () => {
  let fetched = 0;
  const scene = new Scene({ token: async () => `t${++fetched}` });
  assert.equal((await scene.greet({ expires_in_ms: 60_000 }))["token"], "t1");
  assert.equal((await scene.reconnect({ expires_in_ms: 60_000 }))["token"], "t1");
  await scene.link.say({ token_expiring: { expires_in_ms: 5_000 } });
  assert.deepEqual(await scene.link.answer("refresh", { expires_in_ms: 1_000 }), { token: "t2" });
  await scene.clock.pass(5_000);
  assert.equal((await scene.reconnect())["token"], "t3");
  assert.equal((await scene.reconnect({}, 4200))["token"], "t3");
  await scene.link.say({ disconnect: { code: 4006, name: "token_expired", text: "" } });
  await scene.waitOut();
  assert.equal((await scene.greet())["token"], "t4");
});

test("a fixed token that ended closes the client", async () => {
  const scene = new Scene({ token: "t" });
  await scene.greet();
  await scene.link.say({ disconnect: { code: 4006, name: "token_expired", text: "" } });
  await scene.waitOut();
  assert.equal(scene.states.at(-1), "closed:token_expired");
});

test("a revoked token is not shown again", async () => {
  let fetched = 0;
  const scene = new Scene({ token: async () => `t${++fetched}` });
  assert.equal((await scene.greet())["token"], "t1");
  await scene.link.say({ disconnect: { code: 4008, name: "revoked", text: "" } });
  await scene.clock.pass(250);
  assert.equal((await scene.greet())["token"], "t2");
});

// The last one is of a later server: its range says enough.
for (const code of [3000, 3002, 3003, 3999]) {
  test(`a token of before that is refused with ${code} is replaced, a new one that is refused closes the client`, async () => {
    let fetched = 0;
    const scene = new Scene({ token: async () => `t${++fetched}` });
    await scene.greet();
    assert.equal((await scene.reconnect({ code }))["token"], "t1");
    await scene.waitOut();
    assert.equal((await scene.greet())["token"], "t2");
    await scene.reconnect({ code });
    await scene.waitOut();
    assert.equal((await scene.greet({ code }))["token"], "t3");
    assert.deepEqual(scene.states.slice(3), [
      "connecting", "disconnected:test", "connecting", "connected", "disconnected:connection_lost",
      "connecting", "disconnected:test", "connecting", "closed:test",
    ]);
    // Connected again by the application it does not show the refused one.
    assert.equal((await scene.greet())["token"], "t4");
  });
}

test("a close without a word that says the token was revoked brings a new one, too", async () => {
  let fetched = 0;
  const scene = new Scene({ token: async () => `t${++fetched}` });
  await scene.greet();
  assert.equal((await scene.reconnect({}, 4008))["token"], "t2");
});

test("says when the server becomes degraded and when it is well again", async () => {
  const scene = new Scene();
  const told: boolean[] = [];
  scene.client.on("degraded", (degraded) => told.push(degraded));
  await scene.greet();
  await scene.link.say({ status: { degraded: true } });
  assert.deepEqual(told, [true]);
  // Somewhere else it is no better; then it is.
  await scene.reconnect({ degraded: true });
  assert.deepEqual(told, [true]);
  await scene.reconnect();
  assert.deepEqual(told, [true, false]);
});

test("a token provider that fails is asked again", async () => {
  let asked = 0;
  const scene = new Scene({
    token: async () => {
      if (++asked === 1) throw new Error("backend down");
      return "t";
    },
  });
  scene.client.connect();
  await scene.clock.pass(1_000);
  assert.equal((await scene.greet())["token"], "t");
  assert.equal(scene.states[1], "disconnected:token_unavailable");
});

test("a listener that throws disturbs nobody, and is reported", async (context) => {
  const report = context.mock.method(globalThis, "queueMicrotask", () => {});
  const scene = new Scene();
  scene.client.on("state", (state) => {
    if (state.name === "connected") throw new Error("mine");
  });
  const seen: string[] = [];
  scene.client.on("state", (state) => seen.push(state.name));
  await scene.greet();
  assert.deepEqual(seen, ["connecting", "connected"]);
  assert.throws(() => (report.mock.calls[0]?.arguments[0] as () => void)(), /mine/);
});

test("errors carry the wire's name, number and advice", () => {
  const error = ParlorError.fromWire({ code: 1001, name: "rate_limited", text: "slow down", retry_after_ms: 5 });
  assert.equal(String(error), "rate_limited: slow down");
  assert.deepEqual([error.code, error.retryAfterMs, error.isRetryable, error.needsToken], [1001, 5, true, false]);
});
