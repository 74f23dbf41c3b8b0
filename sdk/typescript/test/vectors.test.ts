// The golden vectors that every SDK's tests read.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { CLOSE_CODES, ERROR_CODES, jsonCodec, verdictOf } from "../src/index.js";
import type { CommandName, Commands, Envelope } from "../src/protocol/command.js";
import * as limits from "../src/protocol/limits.js";
import type { Json } from "./fake-server.js";

interface Vector {
  readonly name: string;
  readonly to?: "client" | "server";
  readonly value: Json;
  readonly json?: string;
}

interface Tables {
  readonly errors: readonly Coded[];
  readonly closes: readonly (Coded & { readonly verdict: string })[];
  readonly limits: readonly { readonly name: string; readonly value: number }[];
}

interface Coded {
  readonly name: string;
  readonly code: number;
}

/** Why nothing was recovered, as far as this version knows. */
const REASONS: ReadonlySet<unknown> = new Set(["expired", "epoch_changed", "diverged", "too_many", "not_permitted", "bad_position"]);

for (const { name, value, json } of read<Vector[]>("commands.json")) {
  test(`writes: ${name}`, () => {
    // Through JavaScript's own writer once, which knows no -0.
    const meant: unknown = JSON.parse(JSON.stringify(JSON.parse(String(json))));
    assert.deepEqual(JSON.parse(String(jsonCodec.encode([commandOf(value)]))), meant);
  });
}

for (const { name, value, json } of [...read<Vector[]>("replies.json"), ...read<Vector[]>("pushes.json")]) {
  test(`reads: ${name}`, () => check(value, String(json)));
}

for (const { name, value, json, to } of read<Vector[]>("compat.json")) {
  if (to === "client" && json !== undefined) test(`understands: ${name}`, () => check(value, json));
}

test("several messages in one frame are read in their order", () => {
  const frames = read<Vector[]>("pushes.json").map(({ json }) => String(json));
  assert.deepEqual(jsonCodec.decode(`[${frames.join(",")}]`), frames.flatMap((frame) => jsonCodec.decode(frame)));
});

test("the tables of codes and limits are the server's", () => {
  const tables = read<Tables>("tables.json");
  assert.deepEqual(ERROR_CODES, numbered(tables.errors));
  assert.deepEqual(CLOSE_CODES, numbered(tables.closes));
  for (const { code, verdict } of tables.closes) assert.equal(verdictOf(code), verdict, String(code));
  for (const { name, value } of tables.limits) {
    if (name in limits) assert.equal(limits[name as keyof typeof limits], value, name);
  }
  assert.ok(Object.keys(limits).every((name) => tables.limits.some((limit) => limit.name === name)));
});

function read<T>(file: string): T {
  const directory = process.env["PARLOR_VECTORS"] ?? fileURLToPath(new URL("../../../../protocol/vectors", import.meta.url));
  return JSON.parse(readFileSync(`${directory}/${file}`, "utf8")) as T;
}

function numbered(rows: readonly Coded[]): Record<string, number> {
  return Object.fromEntries(rows.map(({ name, code }) => [name, code]));
}

/** The command as a client says it: bytes are bytes. */
function commandOf({ id, ...named }: Json): Envelope {
  const [name, body] = Object.entries(named)[0] as [CommandName, Json];
  return { id: id as number | undefined, name, body: bytesIn(body) as unknown as Commands[CommandName] };
}

/** What is understood of the frame has everything that `value` says; an empty one is passed over. */
function check(value: Json, frame: string): void {
  const [message, ...others] = jsonCodec.decode(frame);
  assert.deepEqual(others, []);
  if (Object.keys(value).length === 0) return assert.equal(message, undefined);
  assert.ok(message !== undefined);
  const { id, ...named } = value;
  const [name, body] = Object.entries(named)[0] as [string, Json];
  if (message.type === "push") assert.equal(message.name, name);
  else assert.deepEqual([message.id, message.type], [id, name === "error" ? "error" : "reply"]);
  const read = counted((message.type === "error" ? message.error : message.body) as unknown as Json);
  const wanted = name === "history" ? { ...body, events: (body["events"] as Json[]).map(bytesIn) } : bytesIn(body);
  assert.deepEqual(Object.fromEntries(Object.entries(read).filter(([key]) => key in wanted)), wanted);
}

/** As `value` says it: a reason why nothing was recovered that is unknown counts as `expired`. The SDK hands its text on. */
function counted(body: Json): Json {
  const outcomes = body["subscriptions"];
  if (Array.isArray(outcomes)) return { ...body, subscriptions: (outcomes as Json[]).map(counted) };
  const isUnknown = body["recovered"] === false && !REASONS.has(body["reason"]);
  return isUnknown ? { ...body, reason: "expired" } : body;
}

function bytesIn({ data_b64, ...body }: Json): Json {
  return typeof data_b64 === "string" ? { ...body, data: new Uint8Array(Buffer.from(data_b64, "base64")) } : body;
}
