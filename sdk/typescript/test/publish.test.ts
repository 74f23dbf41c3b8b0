import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./fake-clock.js";
import { Scene } from "./fake-server.js";

const PUBLISHED = { offset: 1, position: "p1", time: "17000000000000001", durability: "disk" };

/** Where a promise stands: its error's name, or "kept", or "waits". */
async function outcomeOf(promise: Promise<unknown>): Promise<string> {
  let outcome = "waits";
  promise.then(() => (outcome = "kept"), (error: Error) => (outcome = error.name));
  await settle();
  return outcome;
}

test("a publish resolves with its place when the server kept it", async () => {
  const scene = new Scene();
  await scene.greet();
  const publish = scene.client.publish("room:a", { text: "hi" }, { id: "m1", tags: { a: "b" }, echo: false });
  const body = await scene.link.answer("publish", PUBLISHED);
  assert.deepEqual(body, { channel: "room:a", id: "m1", echo: false, tags: { a: "b" }, data: { text: "hi" } });
  assert.deepEqual(await publish, PUBLISHED);
});

test("every publish has an id, its own", async () => {
  const scene = new Scene();
  await scene.greet();
  void scene.client.publish("room:a", 1);
  void scene.client.publish("room:a", 1);
  const [one, two] = [scene.link.expect("publish").body["id"], scene.link.expect("publish").body["id"]];
  assert.match(String(one), /^[0-9a-f-]{36}$/);
  assert.notEqual(one, two);
});

test("what was not acknowledged is sent again under the same id, in order, and nothing else is", async () => {
  const scene = new Scene();
  await scene.greet();
  const publishes = ["a", "b", "c"].map((id) => scene.client.publish("room:a", id, { id }));
  await scene.link.answer("publish", PUBLISHED);
  await scene.reconnect();
  assert.equal((await scene.link.answer("publish", PUBLISHED))["id"], "b");
  assert.equal((await scene.link.answer("publish", { ...PUBLISHED, duplicate: true }))["id"], "c");
  scene.link.expectNothing();
  assert.equal((await Promise.all(publishes)).length, 3);
});

test("a publish before the connection waits for it", async () => {
  const scene = new Scene();
  const publish = scene.client.publish("room:a", 1);
  await scene.greet();
  await scene.link.answer("publish", PUBLISHED);
  assert.equal(await outcomeOf(publish), "kept");
});

test("a publish is never sent again after the server forgot its id", async () => {
  const scene = new Scene();
  await scene.greet();
  const publish = scene.client.publish("room:a", 1, { timeoutMs: 10 ** 9 });
  const outcome = outcomeOf(publish);
  await scene.link.break(1006);
  await scene.clock.pass(299_999);
  publish.catch(() => {});
  await outcome;
  assert.equal(await outcomeOf(publish), "timeout");
  await scene.greet();
  scene.link.expectNothing();
});

test("try again later is obeyed, and a refusal is final", async () => {
  const scene = new Scene();
  await scene.greet();
  const publish = scene.client.publish("room:a", 1, { id: "m" });
  await scene.link.answer("publish", { code: 1001, retry_after_ms: 300 });
  scene.link.expectNothing();
  await scene.clock.pass(300);
  assert.equal((await scene.link.answer("publish", { code: 2008, name: "not_permitted" }))["id"], "m");
  assert.equal(await outcomeOf(publish), "not_permitted");
});

test("closing the client ends what waits", async () => {
  const scene = new Scene();
  await scene.greet();
  const publish = scene.client.publish("room:a", 1);
  publish.catch(() => {});
  scene.client.close();
  assert.equal(await outcomeOf(publish), "closed_by_application");
});

test("a frame that would end the connection is refused here", async () => {
  const scene = new Scene();
  await scene.greet();
  assert.equal(await outcomeOf(scene.client.publish("room:a", "ü".repeat(40_000))), "too_large");
  assert.equal(await outcomeOf(scene.client.publish("room:a", undefined)), "bad_payload");
  assert.equal(scene.client.state.name, "connected");
});

test("only so many commands may wait", async () => {
  const scene = new Scene({ pendingMax: 1 });
  const first = scene.client.publish("room:a", 1);
  assert.equal(await outcomeOf(first), "waits");
  assert.equal(await outcomeOf(scene.client.publish("room:a", 1)), "too_many_pending");
});

test("a signal is sent now or not at all", async () => {
  const scene = new Scene();
  assert.equal(await outcomeOf(scene.client.signal("room:a", 1)), "connection_lost");
  await scene.greet();
  const signal = scene.client.signal("room:a", 1);
  signal.catch(() => {});
  assert.equal(await outcomeOf(signal), "waits");
  await scene.reconnect();
  assert.equal(await outcomeOf(signal), "connection_lost");
  scene.link.expectNothing();
});

test("bytes travel as base64, there and back", async () => {
  const scene = new Scene();
  await scene.greet();
  void scene.client.publish("room:a", new Uint8Array([0, 255, 10]), { id: "b" });
  assert.deepEqual(scene.link.expect("publish").body, { channel: "room:a", id: "b", data_b64: "AP8K" });
  const pages = scene.client.history("room:a");
  const page = pages.next();
  await scene.link.answer("history", {
    events: [{ kind: "message", offset: 1, position: "p1", time: "1", data_b64: "AP8K" }], more: false, epoch: "e", position: "p1", offset: 1,
  });
  const { value } = await page;
  assert.deepEqual(value?.events[0]?.data, new Uint8Array([0, 255, 10]));
});

test("history pages follow each other, and end", async () => {
  const scene = new Scene();
  await scene.greet();
  const page = (offsets: number[], more: boolean) => ({
    events: offsets.map((offset) => ({ kind: "message", offset, position: `p${offset}`, time: "1" })), more, epoch: "e", position: "p4", offset: 4,
  });
  const read: (number | undefined)[] = [];
  const reading = (async () => {
    for await (const { events } of scene.client.history("room:a", { limit: 2 })) read.push(...events.map((each) => each.offset));
  })();
  await settle();
  assert.deepEqual(await scene.link.answer("history", page([4, 3], true)), { channel: "room:a", limit: 2 });
  assert.deepEqual(await scene.link.answer("history", page([2, 1], false)), { channel: "room:a", limit: 2, offset: 3 });
  await reading;
  assert.deepEqual(read, [4, 3, 2, 1]);
});
