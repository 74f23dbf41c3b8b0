import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Parlor, until } from "./parlor.js";

let parlor: Parlor;
before(async () => {
  parlor = await Parlor.start();
});
after(() => parlor.remove());

test("a token says who one is, and is renewed in band before it ends", async () => {
  let fetched = 0;
  const client = parlor.client("", { user: undefined, token: () => parlor.token("tom", fetched++ === 0 ? 3 : 3_600) });
  const states: string[] = [];
  client.on("state", ({ name }) => states.push(name));
  const room = client.subscribe("room:token");
  await room.whenSubscribed();
  assert.ok(client.state.name === "connected" && client.state.user === "tom");
  await until("the token is renewed", () => fetched === 2);
  const end = Date.now() + 4_000;
  // The first token's end passes.
  await until("the first token has ended", () => Date.now() > end);
  await room.publish("still here");
  assert.deepEqual(states, ["connected"]);
});

test("a refused token closes, and a good one opens again", async () => {
  let token = "not-a-token";
  const client = parlor.client("", { user: undefined, token: async () => token });
  await until("it is refused", () => client.state.name === "closed");
  assert.ok(client.state.name === "closed" && client.state.reason.needsToken, JSON.stringify(client.state));
  token = await parlor.token("tom", 60);
  client.connect();
  await client.subscribe("room:token").whenSubscribed();
});
