// Two people in Chromium and a backend with curl hold a conversation across the death of the server.
//
// For each seed: all three talk; while at least 20 publishes are unanswered the server is killed with -9 and started
// again on the same port and data. Then every acknowledged message is in the history and on both pages, once, in one
// order; the pages came back by themselves; and no (epoch, offset) ever named two events.
//
//   node conversation.js [--seeds N] [--seed S]     N seeds from 1 (default 3), or the one seed S

import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import { Backend } from "./curl.js";
import { launchBrowser, Person } from "./person.js";
import { pick, seeded } from "./seeded.js";
import { Server } from "./server.js";

const TURNS = 15;
const UNANSWERED_MIN = 20;
/** The server dies at a random moment of the first so many ms of a burst. */
const BURST_MS = 100;

const { seed, seeds } = parseArgs({ options: { seed: { type: "string" }, seeds: { type: "string", default: "3" } } }).values;
const chosen = seed === undefined ? Array.from({ length: Number(seeds) }, (_, index) => index + 1) : [Number(seed)];
const browser = await launchBrowser();
try {
  for (const each of chosen) await conversation(each);
} finally {
  await browser.close();
}

async function conversation(seed) {
  const began = Date.now();
  const server = await Server.start();
  try {
    const { messages, unanswered, acknowledged } = await talk(server, seed);
    const seconds = ((Date.now() - began) / 1000).toFixed(1);
    console.log(`seed ${seed}: ${messages} messages, ${unanswered} unanswered and ${acknowledged} acknowledged at the kill, all kept once and in order (${seconds} s)`);
  } catch (error) {
    console.error(`seed ${seed} failed; run it again with: node conversation.js --seed ${seed}\n${server.output}`);
    throw error;
  } finally {
    for (const context of browser.contexts()) await context.close();
    await server.remove();
  }
}

async function talk(server, seed) {
  const random = seeded(seed);
  const channel = `room:seed-${seed}`;
  const backend = new Backend(server);
  const ann = await Person.arrive(browser, "Ann", `${server.url}/#seed-${seed}`);
  const bob = await Person.arrive(browser, "Bob", `${server.url}/#seed-${seed}`);
  const people = [ann, bob];
  for (const person of people) await person.waitForPeople(2);
  const texts = [];
  const write = (who) => {
    const text = `${who} ${texts.length}`;
    texts.push(text);
    return text;
  };

  for (let turn = 0; turn < TURNS; turn++) {
    const speaker = pick(random, 3);
    const text = write(["Ann", "Bob", "Backend"][speaker]);
    if (speaker === 2) await backend.publishUntilKept(channel, `turn-${turn}`, text);
    else await people[speaker].say(text);
  }
  for (const person of people) await person.waitFor(texts);

  const sent = Array.from({ length: 40 + pick(random, 40) }, () => write("Burst"));
  const half = pick(random, sent.length);
  const fromBackend = Array.from({ length: 3 }, (_, index) => backend.publishUntilKept(channel, `burst-${index}`, write("Backend")));
  const bursts = [ann.sayAtOnce(sent.slice(0, half)), bob.sayAtOnce(sent.slice(half))];
  await new Promise((resolve) => setTimeout(resolve, random() * BURST_MS));
  // What is sent to a frozen server is certainly unanswered at its death; what was sent before may be in any state:
  // on its way, in the log and not acknowledged, acknowledged.
  await server.freeze();
  await Promise.all(bursts);
  await Promise.all(people.map((person) => person.sayAtOnce(Array.from({ length: UNANSWERED_MIN / 2 }, () => write(person.name)))));
  await server.kill();
  for (const person of people) await person.waitForBanner(/Connection lost/);
  const mine = (await Promise.all(people.map((person) => person.read()))).map((shown) => shown.filter(({ isMine }) => isMine)).flat();
  const acknowledged = mine.filter(({ isKept }) => isKept);
  const unanswered = mine.length - acknowledged.length;
  assert.ok(unanswered >= UNANSWERED_MIN, `only ${unanswered} publishes were unanswered`);

  await server.start();
  await Promise.all(fromBackend);
  for (const person of people) await person.waitFor(texts);
  await check(backend, channel, people, texts, acknowledged);
  for (const person of people) {
    await person.waitForBanner(/^$/);
    await person.waitForPeople(2);
    assert.deepEqual(person.faults, []);
  }
  return { messages: texts.length, unanswered, acknowledged: acknowledged.length };
}

async function check(backend, channel, people, texts, acknowledged) {
  const { events } = await backend.history(channel);
  assert.deepEqual(events.map(({ offset }) => offset), texts.map((_, index) => index + 1), "offsets are dense from 1");
  assert.deepEqual(events.map(({ data }) => data.text).sort(), [...texts].sort(), "each message is in the history, once");
  const kept = new Set(events.map(({ id }) => id));
  for (const { id, text } of acknowledged) assert.ok(kept.has(id), `${text} was acknowledged and is lost`);
  const order = events.map(({ offset, data }) => `${offset} ${data.text}`);
  for (const person of people) {
    const shown = (await person.read()).map(({ offset, text }) => `${offset} ${text}`);
    assert.deepEqual(shown, order, `${person.name}'s page has the history's order`);
  }
  checkNames([...people.flatMap(({ received }) => received), ...events]);
}

/** No (epoch, offset) names two events. A position begins with its epoch. */
function checkNames(events) {
  const named = new Map();
  for (const { position, offset, id, time, data } of events) {
    const name = `${position.split(".")[0]} ${offset}`;
    const event = JSON.stringify([id, time, data]);
    assert.equal(named.get(name) ?? event, event, `(epoch, offset) ${name} names two events`);
    named.set(name, event);
  }
}
