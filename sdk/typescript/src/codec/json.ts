// The JSON wire form: text frames, each an object or an array of objects. Binary payloads travel as base64.

import type { Codec, Frame } from "../codec.js";
import { ParlorError } from "../error.js";
import type { CommandName, Envelope } from "../protocol/command.js";
import type { Push, PushName, Reply, ServerMessage } from "../protocol/push.js";
import type { Page, WireError } from "../protocol/reply.js";
import type { WireEvent } from "../protocol/event.js";

export const jsonCodec: Codec = {
  subprotocol: "parlor.v1.json",

  encode(commands: readonly Envelope[]): string {
    const texts = commands.map((command) => JSON.stringify(commandToJson(command)));
    return texts.length === 1 ? String(texts[0]) : `[${texts.join(",")}]`;
  },

  decode(frame: Frame): ServerMessage[] {
    const value = parse(frame);
    return (Array.isArray(value) ? value : [value]).flatMap(messageFromJson);
  },
};

type JsonObject = Readonly<Record<string, unknown>>;

const PUSH_NAMES: ReadonlySet<string> = new Set<PushName>([
  "event", "advance", "presence", "subscribed", "unsubscribed", "token_expiring", "status", "disconnect", "ping",
]);

const REPLY_NAMES: ReadonlySet<string> = new Set<CommandName>([
  "connect", "subscribe", "unsubscribe", "publish", "signal", "history", "presence", "presence_set", "refresh", "ping",
]);

function parse(frame: Frame): unknown {
  if (typeof frame !== "string") throw badFrame("binary where text was agreed");
  try {
    return JSON.parse(frame);
  } catch {
    throw badFrame("not JSON");
  }
}

function commandToJson({ id, name, body }: Envelope): JsonObject {
  return id === undefined ? { [name]: payloadToJson(body) } : { id, [name]: payloadToJson(body) };
}

/** Moves bytes in `data` to `data_b64`. */
function payloadToJson(body: object): object {
  if (!("data" in body)) return body;
  const { data, ...rest } = body;
  if (data instanceof Uint8Array) return { ...rest, data_b64: toBase64(data) };
  if (JSON.stringify(data) === undefined) throw new TypeError("the payload is not a JSON value");
  return body;
}

function messageFromJson(value: unknown): ServerMessage[] {
  if (!isObject(value)) throw badFrame("not an object");
  const { id, ...named } = value;
  if (typeof id === "number") return replyFromJson(id, named);
  const name = knownIn(named, PUSH_NAMES);
  if (name === undefined) return [];
  const body = objectIn(named, name);
  return [{ type: "push", name, body: name === "event" ? eventFromJson(body) : body } as Push];
}

function replyFromJson(id: number, named: JsonObject): ServerMessage[] {
  if ("error" in named) return [{ type: "error", id, error: errorFromJson(objectIn(named, "error")) }];
  const name = knownIn(named, REPLY_NAMES);
  if (name === undefined) return [];
  const body = objectIn(named, name);
  return [{ type: "reply", id, body: name === "history" ? pageFromJson(body) : body } as Reply];
}

/** Later versions may put fields beside the name. */
function knownIn(named: JsonObject, names: ReadonlySet<string>): string | undefined {
  return Object.keys(named).find((key) => names.has(key));
}

function errorFromJson(raw: JsonObject): WireError {
  if (typeof raw["code"] !== "number") throw badFrame("an error without a code");
  return { text: "", name: String(raw["code"]), ...raw } as WireError;
}

function pageFromJson(raw: JsonObject): Page {
  const events = raw["events"];
  if (!Array.isArray(events)) throw badFrame("a history page without events");
  return { ...raw, events: events.filter(isObject).map(eventFromJson) } as unknown as Page;
}

/** Moves base64 in `data_b64` to bytes in `data`. */
function eventFromJson(raw: JsonObject): WireEvent {
  const { data_b64, ...event } = raw;
  if (typeof data_b64 !== "string") return raw as unknown as WireEvent;
  return { ...event, data: fromBase64(data_b64) } as unknown as WireEvent;
}

function objectIn(holder: JsonObject, name: string): JsonObject {
  const value = holder[name];
  if (!isObject(value)) throw badFrame(`"${name}" is not an object`);
  return value;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

function fromBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    throw badFrame("data_b64 is not base64");
  }
}

function badFrame(why: string): ParlorError {
  return ParlorError.local("bad_frame", `unable to read a frame; ${why}`);
}
