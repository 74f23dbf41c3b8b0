// What the page's address says: `#lobby`, or `#lobby&token=…`. Only the fragment, which no server ever sees or logs.

export interface Address {
  /** The channel's name. */
  readonly channel: string;
  readonly token: string | undefined;
}

/** Rooms without a kind of their own are `room:…`. */
export function channelOf(room: string): string {
  const name = room.trim().replace(/[^A-Za-z0-9_\-.:@#=+,/~]+/g, "-");
  return name.includes(":") ? name : `room:${name || "lobby"}`;
}

export function roomOf(channel: string): string {
  return channel.replace(/^room:/, "");
}

export function hashOf(channel: string): string {
  return `#${roomOf(channel)}`;
}

/** Reads the address, and takes a token out of what the address bar and the history show. */
export function readAddress(): Address {
  const parts = decodeURIComponent(location.hash.slice(1)).split("&");
  const isToken = (part: string) => part.startsWith("token=");
  const token = parts.find(isToken)?.slice("token=".length);
  const channel = channelOf(parts.find((part) => !isToken(part)) ?? "");
  if (token !== undefined || location.hash === "") history.replaceState(null, "", hashOf(channel));
  return { channel, token };
}
