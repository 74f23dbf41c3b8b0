// An application's payload as it is at one moment: what is sent again later must be the same, whatever became of it.

import { ParlorError } from "./error.js";
import { ERROR_CODES } from "./protocol/error-codes.js";

/**
 * Bytes of one's own, or the JSON value that would be written now.
 * @throws ParlorError `bad_payload` when it is neither.
 */
export function copyOf(data: unknown): unknown {
  // Not `slice`: that of Node's Buffer shares the memory.
  if (data instanceof Uint8Array) return new Uint8Array(data);
  const json = jsonOf(data);
  if (json === undefined) throw badPayload("the payload is not a JSON value");
  return JSON.parse(json);
}

function jsonOf(data: unknown): string | undefined {
  try {
    return JSON.stringify(data);
  } catch (error) {
    throw badPayload(String(error));
  }
}

function badPayload(why: string): ParlorError {
  return new ParlorError(ERROR_CODES.bad_payload, "bad_payload", why);
}
