import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./fake-clock.js";
import { Scene, subscribed, type Json } from "./fake-server.js";

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

test("what is sent again is what was published, whatever became of it", async () => {
  const scene = new Scene();
  await scene.greet();
  const data = { text: "hi", at: new Date(0) };
  const tags = { mood: "good" };
  const bytes = Buffer.from([1, 2]);
  void scene.client.publish("room:a", data, { id: "m", tags });
  void scene.client.publish("room:a", bytes, { id: "b" });
  data.text = tags.mood = "other";
  bytes[0] = 9;
  await scene.reconnect();
  assert.deepEqual(await scene.link.answer("publish", PUBLISHED), {
    channel: "room:a", id: "m", tags: { mood: "good" }, data: { text: "hi", at: "1970-01-01T00:00:00.000Z" },
  });
  assert.deepEqual(await scene.link.answer("publish", PUBLISHED), { channel: "room:a", id: "b", data_b64: "AQI=" });
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

test("a publish is not sent again after a sleep in which the server forgot its id", async () => {
  const scene = new Scene();
  await scene.greet();
  const lost = scene.client.publish("room:a", 1);
  await scene.link.break();
  const unsent = scene.client.publish("room:a", 2, { id: "new" });
  scene.clock.sleep(3_600_000);
  await scene.waitOut();
  await scene.greet();
  assert.equal(await outcomeOf(lost), "timeout");
  assert.equal((await scene.link.answer("publish", PUBLISHED))["id"], "new");
  assert.equal(await outcomeOf(unsent), "kept");
  scene.link.expectNothing();
});

test("after a shorter sleep a publish is sent again, and not once more when the window is over", async () => {
  const scene = new Scene();
  await scene.greet();
  const publish = scene.client.publish("room:a", 1, { id: "m" });
  await scene.link.break();
  scene.clock.sleep(200_000);
  await scene.waitOut();
  await scene.greet();
  assert.equal((await scene.link.answer("publish", { code: 1000, retry_after_ms: 300 }))["id"], "m");
  scene.clock.sleep(70_000);
  await scene.clock.pass(300);
  assert.equal(await outcomeOf(publish), "timeout");
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

test("what waits to be sent again is not overtaken, and goes alone", async () => {
  const scene = new Scene();
  await scene.greet();
  const publish = (data: string) => void scene.client.publish("room:a", data);
  publish("1");
  await scene.link.answer("publish", { code: 1002, retry_after_ms: 10_000 });
  for (const data of ["2", "3", "4"]) publish(data);
  await scene.clock.pass(9_999);
  scene.link.expectNothing();
  await scene.clock.pass(1);
  const first = scene.link.expect("publish");
  assert.equal(first.body["data"], "1");
  scene.link.expectNothing();
  await scene.link.say({ id: first.id, publish: PUBLISHED });
  assert.deepEqual([scene.link.expect("publish").body["data"], scene.link.expect("publish").body["data"]], ["2", "3"]);
  scene.link.expectNothing();
});

test("one that was refused goes again when all that was under way beside it is answered, and alone", async () => {
  const scene = new Scene();
  await scene.greet();
  for (const data of [1, 2, 3]) void scene.client.publish("room:a", data);
  const [one, two, three] = [1, 2, 3].map(() => scene.link.expect("publish").id);
  await scene.link.say({ id: one, error: { code: 1000, name: "busy", text: "", retry_after_ms: 10 } });
  await scene.link.say({ id: two, publish: PUBLISHED });
  await scene.clock.pass(10);
  void scene.client.publish("room:a", 4);
  scene.link.expectNothing();
  await scene.link.say({ id: three, publish: PUBLISHED });
  assert.equal(scene.link.expect("publish").body["data"], 1);
  scene.link.expectNothing();
});

test("a burst is not refused again and again, and keeps its order", async () => {
  const scene = new Scene();
  await scene.greet();
  const publishes = Array.from({ length: 500 }, (_, data) => scene.client.publish("room:a", data));
  const kept: unknown[] = [];
  let [read, refusals, tokens, rounds] = [1, 0, 200, 0];
  // As servers do unless they are set otherwise: 200 at once, then 100 per second. A round trip takes 20 ms.
  for (; kept.length < publishes.length && rounds < 400; rounds++) {
    const arrived = scene.link.sent.slice(read) as { id: number; publish: Json }[];
    read += arrived.length;
    assert.ok(arrived.length <= 128, `${arrived.length} were under way`);
    for (const { id, publish } of arrived) {
      if (tokens-- >= 1) {
        kept.push(publish["data"]);
        await scene.link.say({ id, publish: PUBLISHED });
      } else {
        tokens++;
        refusals++;
        await scene.link.say({ id, error: { code: 1001, name: "rate_limited", text: "", retry_after_ms: 10 } });
      }
    }
    await scene.clock.pass(20);
    tokens += 2;
  }
  assert.deepEqual(kept, publishes.map((_, data) => data));
  assert.ok(refusals < 300, `${refusals} were refused`);
  assert.ok(rounds < 300, `it took ${rounds} round trips, of which 150 were needed`);
});

test("what waits holds up its own channel only, and no reading", async () => {
  const scene = new Scene();
  await scene.greet();
  void scene.client.publish("room:a", 1);
  await scene.link.answer("publish", { code: 1002, retry_after_ms: 10_000 });
  void scene.client.publish("room:a", 2);
  void scene.client.publish("room:b", 3);
  void scene.client.history("room:a").next();
  assert.equal((await scene.link.answer("publish", PUBLISHED))["channel"], "room:b");
  scene.link.expect("history");
  scene.link.expectNothing();
});

test("over the rate, what waits holds up all publishes, and no reading", async () => {
  const scene = new Scene();
  await scene.greet();
  void scene.client.publish("room:a", 1);
  await scene.link.answer("publish", { code: 1001, retry_after_ms: 300 });
  void scene.client.publish("room:b", 2);
  void scene.client.history("room:a").next();
  scene.link.expect("history");
  scene.link.expectNothing();
  await scene.clock.pass(300);
  assert.equal((await scene.link.answer("publish", PUBLISHED))["channel"], "room:a");
  assert.equal(scene.link.expect("publish").body["channel"], "room:b");
});

test("when one gives up while it waits, those behind it go on", async () => {
  const scene = new Scene();
  await scene.greet();
  const first = scene.client.publish("room:a", 1, { timeoutMs: 5_000 });
  const outcome = outcomeOf(first);
  void scene.client.publish("room:a", 2);
  await scene.link.answer("publish", { code: 1002, retry_after_ms: 10_000 });
  await scene.link.answer("publish", { code: 1002, retry_after_ms: 10_000 });
  await scene.clock.pass(5_000);
  await outcome;
  assert.equal(await outcomeOf(first), "timeout");
  scene.link.expectNothing();
  await scene.clock.pass(5_000);
  assert.equal((await scene.link.answer("publish", PUBLISHED))["data"], 2);
  scene.link.expectNothing();
});

test("when the one that goes first is never answered, those behind it go on once it gives up", async () => {
  const scene = new Scene();
  await scene.greet();
  scene.client.publish("room:a", 1, { timeoutMs: 5_000 }).catch(() => {});
  await scene.link.answer("publish", { code: 1000, retry_after_ms: 10 });
  void scene.client.publish("room:a", 2);
  await scene.clock.pass(10);
  scene.link.expect("publish");
  scene.link.expectNothing();
  await scene.clock.pass(4_990);
  assert.equal(scene.link.expect("publish").body["data"], 2);
});

test("a new connection is told everything at once, in order, whatever the one before it said", async () => {
  const scene = new Scene();
  await scene.greet();
  for (const data of [1, 2, 3]) void scene.client.publish("room:a", data);
  await scene.link.answer("publish", { code: 1002, retry_after_ms: 60_000 });
  await scene.reconnect();
  assert.deepEqual([1, 2, 3].map(() => scene.link.expect("publish").body["data"]), [1, 2, 3]);
});

test("without advice the wait grows with each refusal, and is short again after an answer", async () => {
  const scene = new Scene();
  await scene.greet();
  void scene.client.publish("room:a", 1);
  for (const ms of [250, 500, 1_000]) {
    await scene.link.answer("publish", { code: 1004 });
    await scene.clock.pass(ms - 1);
    scene.link.expectNothing();
    await scene.clock.pass(1);
  }
  void scene.client.publish("room:a", 2);
  await scene.link.answer("publish", PUBLISHED);
  await scene.link.answer("publish", { code: 1004 });
  await scene.clock.pass(250);
  await scene.link.answer("publish", PUBLISHED);
});

test("an older state of one's own never overwrites a newer one", async () => {
  const scene = new Scene();
  const room = scene.client.subscribe("room:a");
  await scene.greet({ subscriptions: [subscribed()] });
  void room.setPresence("old");
  await scene.link.answer("presence_set", { code: 1000, retry_after_ms: 100 });
  void room.setPresence("new");
  scene.link.expectNothing();
  await scene.clock.pass(100);
  assert.equal((await scene.link.answer("presence_set", {}))["state"], "old");
  assert.equal((await scene.link.answer("presence_set", {}))["state"], "new");
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
  const circle: Record<string, unknown> = {};
  circle["self"] = circle;
  for (const no of [undefined, () => {}, 1n, circle]) assert.equal(await outcomeOf(scene.client.publish("room:a", no)), "bad_payload");
  assert.equal(scene.client.state.name, "connected");
});

test("only so many commands may wait", async () => {
  const scene = new Scene({ pendingMax: 1 });
  const first = scene.client.publish("room:a", 1);
  assert.equal(await outcomeOf(first), "waits");
  assert.equal(await outcomeOf(scene.client.publish("room:a", 1)), "too_many_pending");
});

test("what the client needs itself is never one too many", async () => {
  let fetched = 0;
  const scene = new Scene({ pendingMax: 1, token: async () => `t${++fetched}` });
  scene.client.on("error", (error) => assert.fail(error));
  await scene.greet();
  void scene.client.publish("room:a", 1);
  assert.equal(await outcomeOf(scene.client.publish("room:a", 2)), "too_many_pending");
  const room = scene.client.subscribe("room:b", { presence: true });
  room.on("error", (error) => assert.fail(error));
  scene.link.expect("publish");
  await scene.link.answer("subscribe", subscribed({ channel: "room:b", presence: true }));
  await scene.link.answer("presence", { members: [], users: 0, connections: 0, version: 1 });
  assert.equal(room.roster?.isLoaded, true);
  await scene.link.say({ token_expiring: { expires_in_ms: 5_000 } });
  assert.deepEqual(await scene.link.answer("refresh", {}), { token: "t2" });
  room.unsubscribe();
  assert.deepEqual(await scene.link.answer("unsubscribe", {}), { channel: "room:b" });
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
