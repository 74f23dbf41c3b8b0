// The package's public face.

export { Client, type ClientEvents, type ClientOptions } from "./client.js";
export { Subscription, type SubscribeOptions, type SubscriptionEvents, type SubscriptionState } from "./subscription.js";
export { type ConnectionState } from "./connection.js";
export { type PublishOptions } from "./publish.js";
export { type HistoryQuery } from "./history.js";
export { type Roster } from "./roster.js";
export { type TokenProvider } from "./token-source.js";
export { CLIENT_CODES, ParlorError } from "./error.js";
export { ERROR_CODES } from "./protocol/error-codes.js";
export { CLOSE_CODES, verdictOf, type Verdict } from "./protocol/close-codes.js";
export { timeToDate, type Erasure, type Time, type WireEvent } from "./protocol/event.js";
export { type Direction, type Recover } from "./protocol/command.js";
export { type Durability, type Member, type Members, type NotRecovered, type Page, type Published } from "./protocol/reply.js";
export { type Advance } from "./protocol/push.js";
export { type Clock } from "./clock.js";
export { type Codec, type Frame } from "./codec.js";
export { jsonCodec } from "./codec/json.js";
export { type Link, type LinkHandlers, type Transport } from "./transport.js";
export { WebSocketTransport, type WebSocketClass } from "./transport/websocket.js";
export { randomId } from "./random-id.js";
export { VERSION } from "./version.js";
