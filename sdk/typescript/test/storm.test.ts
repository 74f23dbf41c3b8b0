// Random faults against a model of the server. PARLOR_SEED runs one seed, PARLOR_SEEDS that many.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../src/index.js";
import { FakeClock } from "./fake-clock.js";
import { ModelServer } from "./model-server.js";

const PUBLISHES = 40;
const { PARLOR_SEED, PARLOR_SEEDS = "200" } = process.env;
const seeds = PARLOR_SEED === undefined ? Array.from({ length: Number(PARLOR_SEEDS) }, (_, index) => index + 1) : [Number(PARLOR_SEED)];

test(`through ${seeds.length} storms every message is kept once and seen once, in order, by two clients`, async () => {
  let duplicates = 0;
  for (const seed of seeds) {
    try {
      duplicates += await storm(seed);
    } catch (error) {
      throw new Error(`seed ${seed} (run it again with PARLOR_SEED=${seed})`, { cause: error });
    }
  }
  assert.ok(duplicates > 0 || seeds.length < 10, "the storms were worth it: some publishes were kept and sent again");
});

async function storm(seed: number): Promise<number> {
  const clock = new FakeClock();
  const random = seeded(seed);
  const server = new ModelServer(clock, random);
  const saw: unknown[][] = [[], []];
  const rooms = saw.map((list) => {
    const client = new Client({ url: server.transport, clock, random });
    const room = client.subscribe("room:a", { recover: { latest: 1_000 } });
    room.on("message", ({ offset, data }) => list.push([offset, data]));
    client.connect();
    return room;
  });
  const kept: unknown[] = [];
  for (let count = 0; count < PUBLISHES; count++) {
    void rooms[count % 2]?.publish(count).then(({ offset }) => kept.push([offset, count]));
    await clock.pass(random() * 200);
  }
  server.calm();
  // Long enough for the longest backoff, far less than the dedup window.
  await clock.pass(60_000);
  const log = server.log.map(({ offset, data }) => [offset, data]);
  assert.equal(log.length, PUBLISHES);
  assert.deepEqual(saw, [log, log]);
  assert.deepEqual(kept.sort(byOffset), log, "each acknowledgement names the place in the log");
  return server.duplicates;
}

function byOffset(one: unknown, other: unknown): number {
  return (one as [number])[0] - (other as [number])[0];
}

/** Numbers in [0, 1) that the seed brings back (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
