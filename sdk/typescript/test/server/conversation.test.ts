import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Subscription, WireEvent } from "../../src/index.js";
import { Parlor, until } from "./parlor.js";

let parlor: Parlor;
before(async () => {
  parlor = await Parlor.start();
});
after(() => parlor.remove());

/** Records what a subscription hands out. */
function record(room: Subscription): WireEvent[] {
  const events: WireEvent[] = [];
  room.on("event", (event) => events.push(event));
  return events;
}

test("two people and a backend talk, in one order", async () => {
  const ann = parlor.client("ann").subscribe("room:talk");
  const bob = parlor.client("bob").subscribe("room:talk");
  const [annSaw, bobSaw] = [record(ann), record(bob)];
  await Promise.all([ann.whenSubscribed(), bob.whenSubscribed()]);
  const kept = await ann.publish({ text: "hi" }, { id: "m1", tags: { mood: "good" } });
  assert.deepEqual([kept.offset, kept.durability, kept.duplicate], [1, "disk", undefined]);
  await bob.publish("hello");
  const body = JSON.stringify({ channel: "room:talk", data: { text: "from a backend" } });
  const answer = await fetch(`${parlor.url}/v1/publish`, { method: "POST", body, headers: { "Content-Type": "application/json" } });
  assert.ok(answer.ok, await answer.text());
  await until("both saw three messages", () => annSaw.length === 3 && bobSaw.length === 3);
  assert.deepEqual(annSaw, bobSaw);
  assert.deepEqual(annSaw.map(({ offset, user }) => [offset, user]), [[1, "ann"], [2, "bob"], [3, undefined]]);
  assert.deepEqual([annSaw[0]?.id, annSaw[0]?.tags, annSaw[0]?.data], ["m1", { mood: "good" }, { text: "hi" }]);
});

test("the same id twice is one message, the same id with other content is refused", async () => {
  const client = parlor.client("ann");
  const first = await client.publish("room:twice", "a", { id: "m" });
  const again = await client.publish("room:twice", "a", { id: "m" });
  assert.deepEqual([again.position, again.duplicate], [first.position, true]);
  await assert.rejects(client.publish("room:twice", "b", { id: "m" }), { name: "id_reused" });
});

test("bytes, echo off and signals arrive as they should", async () => {
  const ann = parlor.client("ann").subscribe("room:kinds");
  const bob = parlor.client("bob").subscribe("room:kinds");
  const [annSaw, bobSaw] = [record(ann), record(bob)];
  await Promise.all([ann.whenSubscribed(), bob.whenSubscribed()]);
  await ann.publish(new Uint8Array([0, 255]), { echo: false });
  await until("both saw the bytes", () => annSaw.length === 1 && bobSaw.length === 1);
  assert.deepEqual(bobSaw[0]?.data, new Uint8Array([0, 255]));
  assert.deepEqual([annSaw[0]?.own, annSaw[0]?.data, annSaw[0]?.offset], [true, undefined, 1]);
  await ann.signal({ typing: true });
  await until("bob saw the signal", () => bobSaw.length === 2);
  assert.deepEqual([bobSaw[1]?.kind, bobSaw[1]?.user, bobSaw[1]?.data, bobSaw[1]?.offset], ["signal", "ann", { typing: true }, undefined]);
});

test("history is read page by page in both directions", async () => {
  const client = parlor.client("ann");
  for (let count = 1; count <= 7; count++) await client.publish("room:pages", count);
  const read = async (direction: "backward" | "forward") => {
    const offsets: (number | undefined)[] = [];
    for await (const page of client.history("room:pages", { direction, limit: 3 })) offsets.push(...page.events.map(({ offset }) => offset));
    return offsets;
  };
  assert.deepEqual(await read("backward"), [7, 6, 5, 4, 3, 2, 1]);
  assert.deepEqual(await read("forward"), [1, 2, 3, 4, 5, 6, 7]);
});

test("the latest messages come first on request", async () => {
  const client = parlor.client("ann");
  for (let count = 1; count <= 5; count++) await client.publish("room:latest", count);
  const saw = record(client.subscribe("room:latest", { recover: { latest: 3 } }));
  await client.publish("room:latest", 6);
  await until("four messages came", () => saw.length === 4);
  assert.deepEqual(saw.map(({ data }) => data), [3, 4, 5, 6]);
});

test("who is here is known, comes and goes", async () => {
  const ann = parlor.client("ann").subscribe("room:here", { presence: true });
  const users = () => (ann.roster?.members ?? []).map(({ user }) => user).sort().join();
  await until("ann sees herself", () => users() === "ann");
  const bobClient = parlor.client("bob");
  const bob = bobClient.subscribe("room:here", { presence: true });
  await until("ann sees bob", () => users() === "ann,bob");
  await bob.whenSubscribed();
  await bob.setPresence({ away: true });
  await until("ann sees bob's state", () => (ann.roster?.member("bob")?.state as { away?: boolean } | undefined)?.away === true);
  bob.unsubscribe();
  await until("ann sees bob go", () => users() === "ann");
});

test("nothing is lost or doubled across the death of the server", async () => {
  const ann = parlor.client("ann").subscribe("room:death");
  const bob = parlor.client("bob").subscribe("room:death");
  const [annSaw, bobSaw] = [record(ann), record(bob)];
  await Promise.all([ann.whenSubscribed(), bob.whenSubscribed()]);
  const wanted = Array.from({ length: 60 }, (_, count) => count);
  const publishes = wanted.slice(0, 40).map((count) => ann.publish(count));
  await publishes[0];
  await parlor.kill();
  publishes.push(...wanted.slice(40).map((count) => ann.publish(count)));
  await parlor.start();
  await Promise.all(publishes);
  await until("both saw everything", () => annSaw.length >= wanted.length && bobSaw.length >= wanted.length);
  assert.deepEqual(annSaw.map(({ offset }) => offset), wanted.map((count) => count + 1));
  assert.deepEqual(bobSaw, annSaw);
  assert.deepEqual(annSaw.map(({ data }) => Number(data)).sort((a, b) => a - b), wanted);
});
