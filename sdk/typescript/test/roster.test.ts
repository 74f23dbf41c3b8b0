import assert from "node:assert/strict";
import { test } from "node:test";
import { Scene, subscribed, type Json } from "./fake-server.js";

const member = (user: string, state?: unknown): Json => ({ user, sessions: [`s-${user}`], ...(state === undefined ? {} : { state }) });
const page = (version: number, users: string[], next?: string): Json => ({
  members: users.map((user) => member(user)), users: users.length, connections: users.length, version, next,
});
const diff = (version: number, changes: Json): Json => ({ presence: { alias: 7, version, users: 0, connections: 0, ...changes } });

async function room(): Promise<{ scene: Scene; users: () => string[] }> {
  const scene = new Scene();
  const subscription = scene.client.subscribe("room:a", { presence: true });
  await scene.greet({ subscriptions: [subscribed({ presence: true })] });
  return { scene, users: () => (subscription.roster?.members ?? []).map(({ user }) => user).sort() };
}

test("the roster is a snapshot and what changed since", async () => {
  const { scene, users } = await room();
  await scene.link.answer("presence", page(5, ["ann", "bob"]));
  await scene.link.say(diff(6, { joined: [member("cid")], left: ["ann"], users: 2, connections: 3 }));
  assert.deepEqual(users(), ["bob", "cid"]);
  const roster = scene.client.subscription("room:a")?.roster;
  assert.deepEqual([roster?.users, roster?.connections], [2, 3]);
  await scene.link.say(diff(7, { updated: [member("bob", { away: true })] }));
  assert.deepEqual(roster?.member("bob")?.state, { away: true });
});

test("diffs older than the page that knows better are ignored", async () => {
  const { scene, users } = await room();
  await scene.link.say(diff(4, { left: ["bob"] }), diff(5, { joined: [member("bob")] }), diff(6, { left: ["ann"] }));
  await scene.link.answer("presence", page(5, ["ann", "bob"]));
  assert.deepEqual(users(), ["bob"]);
});

test("pages taken at different moments make one roster", async () => {
  const { scene, users } = await room();
  assert.deepEqual(await scene.link.answer("presence", page(5, ["ann", "bob"], "c1")), { channel: "room:a" });
  // Between the pages: ann left, zoe joined; the second page knows of zoe already.
  assert.deepEqual(await scene.link.answer("presence", page(7, ["yan", "zoe"])), { channel: "room:a", cursor: "c1" });
  await scene.link.say(diff(6, { left: ["ann", "zoe"] }), diff(7, { joined: [member("zoe")] }), diff(8, { left: ["yan"] }));
  assert.deepEqual(users(), ["bob", "zoe"]);
});

test("after a skipped version the snapshot is taken anew", async () => {
  const { scene, users } = await room();
  await scene.link.answer("presence", page(5, ["ann"]));
  await scene.link.say(diff(7, { joined: [member("cid")] }));
  assert.deepEqual(users(), ["ann"]);
  await scene.link.answer("presence", page(7, ["ann", "bob", "cid"]));
  assert.deepEqual(users(), ["ann", "bob", "cid"]);
});

test("after a reconnect the snapshot is taken anew, and the old roster stands meanwhile", async () => {
  const { scene, users } = await room();
  await scene.link.answer("presence", page(5, ["ann"]));
  await scene.reconnect({ subscriptions: [subscribed({ presence: true, recovered: true })] });
  assert.deepEqual(users(), ["ann"]);
  await scene.link.say(diff(2, { joined: [member("cid")] }));
  await scene.link.answer("presence", page(1, ["bob"]));
  assert.deepEqual(users(), ["bob", "cid"]);
});

test("a snapshot that is not answered is told, and asked for again", async () => {
  const { scene, users } = await room();
  const told: string[] = [];
  scene.client.subscription("room:a")?.on("error", ({ name }) => told.push(name));
  scene.link.expect("presence");
  await scene.link.say({ ping: {} });
  await scene.clock.pass(29_999);
  await scene.link.say({ ping: {} });
  await scene.clock.pass(1 + 2_000);
  assert.deepEqual(scene.link.sent.map((command) => Object.keys(command).at(-1)), ["connect", "presence", "pong", "pong", "presence"]);
  scene.link.expect("pong");
  scene.link.expect("pong");
  await scene.link.answer("presence", page(5, ["ann"]));
  assert.deepEqual([told, users()], [["timeout"], ["ann"]]);
});

test("no snapshot is taken for a subscription that a listener ended at once", async () => {
  const scene = new Scene();
  const subscription = scene.client.subscribe("room:a", { presence: true });
  subscription.on("state", ({ name }) => name === "subscribed" && subscription.unsubscribe());
  await scene.greet({ subscriptions: [subscribed({ presence: true })] });
  scene.link.expect("unsubscribe");
  scene.link.expectNothing();
});

test("a refused snapshot is told, and the subscription goes on", async () => {
  const { scene, users } = await room();
  const told: string[] = [];
  scene.client.subscription("room:a")?.on("error", ({ name }) => told.push(name));
  await scene.link.answer("presence", { code: 2008, name: "not_permitted" });
  await scene.clock.pass(30_000);
  scene.link.expectNothing();
  assert.deepEqual([told, users()], [["not_permitted"], []]);
});

test("a diff without names carries totals: the list is out of date, says so, and a large room is not read again for each", async () => {
  const { scene, users } = await room();
  let told = 0;
  const roster = scene.client.subscription("room:a")?.roster;
  await scene.link.answer("presence", page(5, ["ann"]));
  scene.client.subscription("room:a")?.on("presence", () => told++);
  assert.equal(roster?.isStale, false);
  for (let version = 6; version < 10; version++) await scene.link.say(diff(version, { users: 5_000 + version, connections: 6_000 }));
  assert.deepEqual([roster?.isStale, roster?.users, roster?.connections, users(), told], [true, 5_009, 6_000, ["ann"], 4]);
  await scene.clock.pass(20_000);
  await scene.link.say(diff(12, { users: 4_999, connections: 6_000 }));
  assert.deepEqual([roster?.users, told], [4_999, 5]);
  scene.link.expectNothing();
});

test("a list that is out of date is read again once names are told again, by everybody in a time of their own", async () => {
  const { scene, users } = await room();
  await scene.link.answer("presence", page(5, ["ann"]));
  await scene.link.say(diff(6, { users: 201 }));
  await scene.link.say(diff(7, { joined: [member("cid")], users: 200 }), diff(8, { left: ["ann"], users: 199 }));
  assert.deepEqual(users(), ["cid"]);
  scene.link.expectNothing();
  await scene.clock.pass(2_000);
  await scene.link.answer("presence", page(8, ["bob", "cid"]));
  assert.deepEqual([users(), scene.client.subscription("room:a")?.roster?.isStale], [["bob", "cid"], false]);
  await scene.link.say(diff(9, { joined: [member("dan")], users: 3 }));
  await scene.clock.pass(20_000);
  scene.link.expectNothing();
});

test("a small room whose changes were too many to name is read again, less and less often while that goes on", async () => {
  const { scene, users } = await room();
  await scene.link.answer("presence", page(5, ["ann"]));
  await scene.link.say(diff(6, { users: 150 }), diff(7, { users: 160 }));
  scene.link.expectNothing();
  await scene.clock.pass(2_000);
  await scene.link.answer("presence", page(7, ["ann", "bob"]));
  assert.deepEqual(users(), ["ann", "bob"]);
  await scene.link.say(diff(8, { users: 150 }));
  await scene.clock.pass(3_999);
  scene.link.expectNothing();
  await scene.clock.pass(1);
  scene.link.expect("presence");
});

test("a diff without names that came while the snapshot was taken leaves it out of date", async () => {
  const { scene } = await room();
  const { id } = scene.link.expect("presence");
  await scene.link.say(diff(6, { users: 5_000 }));
  await scene.link.say({ id, presence: page(5, ["ann"]) });
  assert.equal(scene.client.subscription("room:a")?.roster?.isStale, true);
});

test("who has left the room does not read its list again", async () => {
  const { scene } = await room();
  await scene.link.answer("presence", page(5, ["ann"]));
  await scene.link.say(diff(6, { users: 2 }));
  scene.client.subscription("room:a")?.unsubscribe();
  scene.link.expect("unsubscribe");
  await scene.clock.pass(10_000);
  scene.link.expectNothing();
});
