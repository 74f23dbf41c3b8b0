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

test("a refused snapshot is told, and the subscription goes on", async () => {
  const { scene, users } = await room();
  const told: string[] = [];
  scene.client.subscription("room:a")?.on("error", ({ name }) => told.push(name));
  await scene.link.answer("presence", { code: 2008, name: "not_permitted" });
  assert.deepEqual([told, users()], [["not_permitted"], []]);
});
