// Built from sdk/typescript by "npm run build" in sdk/demo. Do not edit.

// typescript/src/protocol/error-codes.ts
var ERROR_CODES = {
	busy: 1e3,
	rate_limited: 1001,
	storage_unavailable: 1002,
	draining: 1003,
	internal: 1004,
	bad_request: 2e3,
	unknown_command: 2001,
	not_connected: 2002,
	already_connected: 2003,
	bad_channel: 2004,
	unknown_channel_kind: 2005,
	already_subscribed: 2006,
	not_subscribed: 2007,
	not_permitted: 2008,
	bad_payload: 2009,
	too_large: 2010,
	too_many: 2011,
	id_reused: 2012,
	presence_disabled: 2013,
	not_present: 2014,
	not_found: 2015,
	bad_token: 3e3,
	token_expired: 3001,
	bad_key: 3002,
	token_revoked: 3003
};
function isRetryable(code) {
	return code >= 1e3 && code < 2e3;
}
function needsToken(code) {
	return code >= 3e3 && code < 4e3;
}

// typescript/src/error.ts
var CLIENT_CODES = {
	not_started: 1,
	closed_by_application: 2,
	connection_lost: 3,
	silent: 4,
	connect_timeout: 5,
	token_unavailable: 6,
	timeout: 7,
	too_many_pending: 8,
	gap: 9,
	bad_frame: 10,
	log_changed: 11
};
var ParlorError = class _ParlorError extends Error {
	code;
	retryAfterMs;
	constructor(code, name, text, retryAfterMs) {
		super(text);
		this.code = code;
		this.name = name;
		this.retryAfterMs = retryAfterMs;
	}
	static fromWire(error) {
		return new _ParlorError(error.code, error.name, error.text, error.retry_after_ms);
	}
	static local(name, text) {
		return new _ParlorError(CLIENT_CODES[name], name, text);
	}
	/** Whether the same command may succeed later. */
	get isRetryable() {
		return isRetryable(this.code);
	}
	/** Whether a new token must be had first. */
	get needsToken() {
		return needsToken(this.code);
	}
};

// typescript/src/backoff.ts
var RECONNECT_BACKOFF = { baseMs: 500, capMs: 2e4 };
var Backoff = class {
	#attempt = 0;
	#options;
	#random;
	/** `random` gives numbers in [0, 1). */
	constructor(random, options = RECONNECT_BACKOFF) {
		this.#random = random;
		this.#options = options;
	}
	/** The next wait in ms; each call doubles the range of the following one. */
	next() {
		const range = Math.min(this.#options.capMs, this.#options.baseMs * 2 ** this.#attempt);
		this.#attempt = Math.min(this.#attempt + 1, 32);
		return this.#random() * range;
	}
	reset() {
		this.#attempt = 0;
	}
};

// typescript/src/lane.ts
var Lane = class {
	key;
	/** How many calls are in it, under way or not: {@link Lanes} counts, and gives up an empty one. */
	calls = 0;
	#clock;
	#backoff;
	#underWay = 0;
	/** How large a group may be: one call after a refusal, and one more with each answer. A crowd would only be refused again. */
	#groupMax = UNDER_WAY_MAX;
	/** No more join the group that is under way. */
	#isFull = false;
	/** One of that group was refused: what becomes of the others says nothing about the next. */
	#isSpoilt = false;
	#stopWait;
	constructor(key, clock, random) {
		this.key = key;
		this.#clock = clock;
		this.#backoff = new Backoff(random);
	}
	/** Whether another may go out now. */
	get isFree() {
		return this.#stopWait === void 0 && !this.#isFull;
	}
	sent() {
		this.#isFull = ++this.#underWay >= this.#groupMax;
	}
	/** What was sent is under way no longer, whatever became of it. */
	returned() {
		if (--this.#underWay === 0) this.#isFull = this.#isSpoilt = false;
	}
	answered() {
		if (this.#isSpoilt) return;
		this.#backoff.reset();
		this.#groupMax = Math.min(this.#groupMax + 1, UNDER_WAY_MAX);
	}
	/** One that has returned is to try again later: nothing goes out for so long, then `over` is called. */
	refused(retryAfterMs, over) {
		this.#groupMax = 1;
		this.#isFull = this.#isSpoilt = this.#underWay > 0;
		this.#stopWait ??= this.#clock.after(retryAfterMs ?? this.#backoff.next(), () => {
			this.#stopWait = void 0;
			over();
		});
	}
	/** Forgets what one connection said: there is another, or nobody waits any more. */
	reopen() {
		this.#stopWait?.();
		this.#stopWait = void 0;
		this.#groupMax = UNDER_WAY_MAX;
	}
};
var UNDER_WAY_MAX = 128;

// typescript/src/lanes.ts
var Lanes = class {
	#clock;
	#random;
	/** Only those that a call is in. */
	#byKey = new Map();
	constructor(clock, random) {
		this.#clock = clock;
		this.#random = random;
	}
	enter(name, channel) {
		const way = [this.#lane(name), this.#lane(`${name} ${channel}`)];
		for (const lane of way) lane.calls++;
		return way;
	}
	leave(way) {
		for (const lane of way) {
			if (--lane.calls > 0) continue;
			lane.reopen();
			this.#byKey.delete(lane.key);
		}
	}
	/** There is another connection: what the one before it said of the rate and of the log counts no more. */
	reopen() {
		for (const lane of this.#byKey.values()) lane.reopen();
	}
	#lane(key) {
		const known = this.#byKey.get(key);
		if (known !== void 0) return known;
		const lane = new Lane(key, this.#clock, this.#random);
		this.#byKey.set(key, lane);
		return lane;
	}
};
function heldUp([ofName, ofChannel], code) {
	return code === ERROR_CODES.rate_limited ? ofName : ofChannel;
}

// typescript/src/calls.ts
var Calls = class {
	#clock;
	#pendingMax;
	#lanes;
	#pending = new Set();
	#byId = new Map();
	#send;
	#nextId = FIRST_CALL_ID;
	constructor(clock, random, pendingMax) {
		this.#clock = clock;
		this.#pendingMax = pendingMax;
		this.#lanes = new Lanes(clock, random);
	}
	/** What the application asks: refused where as much waits as may. */
	call(name, body, options) {
		if (this.#pending.size >= this.#pendingMax) {
			return Promise.reject(ParlorError.local("too_many_pending", `unable to ${name}; too many commands wait for an answer`));
		}
		return this.callAnyway(name, body, options);
	}
	/** What the client needs of itself, however much waits: {@link start} as a promise. */
	callAnyway(name, body, options) {
		return new Promise((resolve, reject) => {
			this.start(name, body, options, (outcome) => outcome instanceof ParlorError ? reject(outcome) : resolve(outcome));
		});
	}
	/** Not bound like {@link call}: of its own the client asks a few things for each channel, and gives them up with the connection. */
	start(name, body, options, settled) {
		if (this.#send === void 0 && !options.resend) {
			return settled(ParlorError.local("connection_lost", `unable to ${name}; not connected`));
		}
		const call = {
			name,
			body,
			resend: options.resend,
			resendEnd: this.#clock.wallTime() + (options.resendMs ?? Infinity),
			settled,
			way: options.resend ? this.#lanes.enter(name, "channel" in body ? body.channel : "") : [],
			wasSent: false,
			stopTimeout: this.#clock.after(options.timeoutMs, () => this.#timedOut(call))
		};
		this.#pending.add(call);
		this.#offer(call);
	}
	/** The connection is up: what waits goes out, oldest first. */
	attach(send) {
		this.#send = send;
		this.#offerAll();
	}
	/** The connection is gone: what may not be sent again ends here. */
	detach() {
		this.#send = void 0;
		this.#lanes.reopen();
		for (const call of [...this.#pending]) {
			this.#takeBack(call);
			if (!call.resend) this.#finish(call, ParlorError.local("connection_lost", `the connection was lost during ${call.name}`));
		}
	}
	/** Ends everything that waits. */
	rejectAll(reason) {
		for (const call of [...this.#pending]) this.#finish(call, reason);
	}
	receive(message) {
		const call = this.#byId.get(message.id);
		if (call === void 0) return;
		const outcome = message.type === "reply" ? message.body : ParlorError.fromWire(message.error);
		if (call.resend && outcome instanceof ParlorError && outcome.isRetryable) this.#retryLater(call, outcome);
		else this.#answered(call, outcome);
		this.#offerAll();
	}
	/** Oldest first, so that one that waits keeps its place before those that were called after it. */
	#offerAll() {
		for (const call of this.#pending) this.#offer(call);
	}
	#offer(call) {
		if (call.id === void 0 && call.way.every((lane) => lane.isFree)) this.#dispatch(call);
	}
	#dispatch(call) {
		if (this.#send === void 0) return;
		if (call.wasSent && this.#clock.wallTime() >= call.resendEnd) return this.#finish(call, timedOut(call.name));
		call.wasSent = true;
		call.id = this.#nextId++;
		this.#byId.set(call.id, call);
		for (const lane of call.way) lane.sent();
		try {
			this.#send({ id: call.id, name: call.name, body: call.body });
		} catch (error) {
			this.#finish(call, asParlorError(error));
		}
	}
	#retryLater(call, error) {
		this.#takeBack(call);
		heldUp(call.way, error.code)?.refused(error.retryAfterMs, () => this.#offerAll());
	}
	#answered(call, outcome) {
		for (const lane of call.way) lane.answered();
		this.#finish(call, outcome);
	}
	#timedOut(call) {
		this.#finish(call, timedOut(call.name));
		this.#offerAll();
	}
	#finish(call, outcome) {
		if (!this.#pending.delete(call)) return;
		this.#takeBack(call);
		this.#lanes.leave(call.way);
		call.stopTimeout();
		call.settled(outcome);
	}
	/** It is under way no longer: what is still said to it is not heard. */
	#takeBack(call) {
		if (call.id === void 0) return;
		this.#byId.delete(call.id);
		call.id = void 0;
		for (const lane of call.way) lane.returned();
	}
};
var FIRST_CALL_ID = 2;
function timedOut(name) {
	return ParlorError.local("timeout", `no answer to ${name} in time; the outcome is unknown`);
}
function asParlorError(error) {
	return error instanceof ParlorError ? error : new ParlorError(2009, "bad_payload", String(error));
}

// typescript/src/clock.ts
var systemClock = {
	now: () => performance.now(),
	wallTime: () => Date.now(),
	after: (ms, task) => {
		const timer = setTimeout(task, ms);
		return () => clearTimeout(timer);
	}
};

// typescript/src/codec/json.ts
var jsonCodec = {
	subprotocol: "parlor.v1.json",
	encode(commands) {
		const texts = commands.map((command) => JSON.stringify(commandToJson(command)));
		return texts.length === 1 ? String(texts[0]) : `[${texts.join(",")}]`;
	},
	decode(frame) {
		const value = parse(frame);
		return (Array.isArray(value) ? value : [value]).flatMap(messageFromJson);
	}
};
var PUSH_NAMES = new Set([
	"event",
	"advance",
	"presence",
	"subscribed",
	"unsubscribed",
	"token_expiring",
	"status",
	"disconnect",
	"ping"
]);
var REPLY_NAMES = new Set([
	"connect",
	"subscribe",
	"unsubscribe",
	"publish",
	"signal",
	"history",
	"presence",
	"presence_set",
	"refresh",
	"ping"
]);
function parse(frame) {
	if (typeof frame !== "string") throw badFrame("binary where text was agreed");
	try {
		return JSON.parse(frame);
	} catch {
		throw badFrame("not JSON");
	}
}
function commandToJson({ id, name, body }) {
	return id === void 0 ? { [name]: payloadToJson(body) } : { id, [name]: payloadToJson(body) };
}
function payloadToJson(body) {
	if (!("data" in body)) return body;
	const { data, ...rest } = body;
	if (data instanceof Uint8Array) return { ...rest, data_b64: toBase64(data) };
	if (JSON.stringify(data) === void 0) throw new TypeError("the payload is not a JSON value");
	return body;
}
function messageFromJson(value) {
	if (!isObject(value)) throw badFrame("not an object");
	const { id, ...named } = value;
	if (typeof id === "number") return replyFromJson(id, named);
	const name = knownIn(named, PUSH_NAMES);
	if (name === void 0) return [];
	const body = objectIn(named, name);
	return [{ type: "push", name, body: name === "event" ? eventFromJson(body) : body }];
}
function replyFromJson(id, named) {
	if ("error" in named) return [{ type: "error", id, error: errorFromJson(objectIn(named, "error")) }];
	const name = knownIn(named, REPLY_NAMES);
	if (name === void 0) return [];
	const body = objectIn(named, name);
	return [{ type: "reply", id, body: name === "history" ? pageFromJson(body) : body }];
}
function knownIn(named, names) {
	return Object.keys(named).find((key) => names.has(key));
}
function errorFromJson(raw) {
	if (typeof raw["code"] !== "number") throw badFrame("an error without a code");
	return { text: "", name: String(raw["code"]), ...raw };
}
function pageFromJson(raw) {
	const events = raw["events"];
	if (!Array.isArray(events)) throw badFrame("a history page without events");
	return { ...raw, events: events.filter(isObject).map(eventFromJson) };
}
function eventFromJson(raw) {
	const { data_b64, ...event } = raw;
	if (typeof data_b64 !== "string") return raw;
	return { ...event, data: fromBase64(data_b64) };
}
function objectIn(holder, name) {
	const value = holder[name];
	if (!isObject(value)) throw badFrame(`"${name}" is not an object`);
	return value;
}
function isObject(value) {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
function toBase64(bytes) {
	let text = "";
	for (const byte of bytes) text += String.fromCharCode(byte);
	return btoa(text);
}
function fromBase64(text) {
	try {
		return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
	} catch {
		throw badFrame("data_b64 is not base64");
	}
}
function badFrame(why) {
	return ParlorError.local("bad_frame", `unable to read a frame; ${why}`);
}

// typescript/src/protocol/close-codes.ts
var CLOSE_CODES = {
	protocol_error: 1002,
	wrong_frame_type: 1003,
	bad_utf8: 1007,
	frame_too_large: 1009,
	draining: 4e3,
	slow: 4001,
	no_pong: 4002,
	internal: 4003,
	connect_timeout: 4004,
	flooding: 4005,
	token_expired: 4006,
	busy: 4007,
	revoked: 4008,
	replaced: 4400,
	disconnected: 4401,
	bad_token: 4402,
	bad_frame: 4403,
	connect_refused: 4404
};
var STAY_AWAY = new Set([1002, 1003, 1007, 1009]);
function verdictOf(code) {
	if (code >= 4200 && code < 4400) return "fresh";
	if (STAY_AWAY.has(code) || code >= 4400 && code < 4600) return "stay_away";
	return "resume";
}

// typescript/src/protocol/limits.ts
var FRAME_BYTES_MAX = 65536;
var DEDUP_WINDOW_MS = 3e5;
var PONG_TIMEOUT_MS = 1e4;

// typescript/src/connection.ts
var Connection = class {
	#parts;
	#host;
	#backoff;
	#state = { name: "closed", reason: ParlorError.local("not_started", "not connected yet") };
	#attempt = 0;
	#link;
	/** The current link's. */
	#greeting;
	/** Names the current link, so that what an older one still says is not heard. */
	#life = 0;
	#stopTimer = () => {
	};
	#heardAt = 0;
	#greetedAt = 0;
	#quietMaxMs = 0;
	#frameBytesMax = FRAME_BYTES_MAX;
	constructor(parts, host) {
		this.#parts = parts;
		this.#host = host;
		this.#backoff = new Backoff(parts.random);
	}
	get state() {
		return this.#state;
	}
	/** Connects now, whatever the wait would be. Does nothing while connecting or connected. */
	open() {
		if (this.#state.name === "connecting" || this.#state.name === "connected") return;
		this.#stopTimer();
		void this.#connect();
	}
	close() {
		if (this.#state.name === "closed") return;
		const reason = ParlorError.local("closed_by_application", "closed by the application");
		if (this.#leave("resume", reason)) this.#change({ name: "closed", reason });
	}
	/** The device woke up or came online: waits no longer, and doubts a link that may have died meanwhile. */
	wake() {
		if (this.#state.name === "disconnected") this.open();
		if (this.#state.name !== "connected") return;
		const askedAt = this.#parts.clock.now();
		const life = this.#life;
		this.#write([{ id: CONNECT_ID, name: "ping", body: {} }]);
		this.#parts.clock.after(PROBE_TIMEOUT_MS, () => {
			if (life === this.#life && this.#heardAt < askedAt) this.#lose(ParlorError.local("silent", "no answer after waking up"), "resume");
		});
	}
	/** The bytes that a frame may have, as the server said last. */
	get frameBytesMax() {
		return this.#frameBytesMax;
	}
	/** How many bytes a frame of this command has. */
	weigh(command) {
		return bytesOf(this.#parts.codec.encode([command]));
	}
	/** @throws ParlorError `too_large` when the frame would end the connection. */
	send(commands) {
		const frame = this.#parts.codec.encode(commands);
		if (!fits(frame, this.#frameBytesMax)) {
			throw new ParlorError(ERROR_CODES.too_large, "too_large", `unable to send; a frame holds at most ${this.#frameBytesMax} bytes`);
		}
		this.#link?.send(frame);
	}
	async #connect() {
		const life = ++this.#life;
		this.#stopTimer = this.#parts.clock.after(CONNECT_TIMEOUT_MS, () => {
			this.#lose(ParlorError.local("connect_timeout", "unable to connect in time"), "resume");
		});
		this.#change({ name: "connecting", attempt: ++this.#attempt });
		if (life !== this.#life) return;
		let greeting;
		try {
			greeting = await this.#host.greeting();
		} catch (error) {
			if (life === this.#life) this.#greetingFailed(error);
			return;
		}
		if (life === this.#life) this.#openLink(life, greeting);
	}
	#greetingFailed(error) {
		if (error instanceof ParlorError && error.needsToken) return this.#lose(error, "stay_away");
		this.#lose(ParlorError.local("token_unavailable", `unable to get a token; ${String(error)}`), "resume");
	}
	#openLink(life, greeting) {
		this.#greeting = greeting;
		const whenCurrent = (act) => {
			if (life === this.#life) act();
		};
		this.#link = this.#parts.transport.open(this.#parts.codec.subprotocol, {
			opened: () => whenCurrent(() => this.#write([{ id: CONNECT_ID, name: "connect", body: greeting.connect }])),
			received: (frame) => whenCurrent(() => this.#read(life, frame)),
			closed: (code, text) => whenCurrent(() => this.#lose(closeReason(code, text), verdictOf(code)))
		});
	}
	#read(life, frame) {
		this.#heardAt = this.#parts.clock.now();
		let messages;
		try {
			messages = this.#parts.codec.decode(frame);
		} catch (error) {
			return this.#lose(error instanceof ParlorError ? error : ParlorError.local("bad_frame", String(error)), "resume");
		}
		for (const message of messages) {
			if (life === this.#life) this.#dispatch(message);
		}
	}
	#dispatch(message) {
		if (message.type === "push") {
			if (message.name === "ping") return this.#write([{ name: "pong", body: {} }]);
			if (message.name === "disconnect") return this.#dismissed(message.body);
		} else if (message.id === CONNECT_ID) {
			return this.#greetingAnswered(message);
		}
		this.#host.received(message);
	}
	#greetingAnswered(message) {
		if (this.#state.name !== "connecting") return;
		if (message.type === "error") return this.#refused(ParlorError.fromWire(message.error));
		const reply = message.body;
		this.#stopTimer();
		this.#greetedAt = this.#heardAt;
		this.#attempt = 0;
		this.#frameBytesMax = reply.limits.frame_bytes_max;
		this.#quietMaxMs = reply.ping_interval_ms + PONG_TIMEOUT_MS;
		this.#watch();
		const life = this.#life;
		this.#state = { name: "connected", connection: reply.connection, user: reply.user };
		this.#greeting?.greeted(reply);
		if (life === this.#life) this.#host.changed(this.#state);
	}
	#refused(error) {
		const comesBack = error.isRetryable || error.code === ERROR_CODES.token_expired || error.needsToken && this.#host.hasAnotherToken();
		this.#lose(error, comesBack ? "resume" : "stay_away");
	}
	#dismissed({ code, name, text, retry_after_ms }) {
		this.#lose(new ParlorError(code, name, text, retry_after_ms), verdictOf(code));
	}
	#watch() {
		const quiet = this.#parts.clock.now() - this.#heardAt;
		if (quiet >= this.#quietMaxMs) return this.#lose(ParlorError.local("silent", "the server fell silent"), "resume");
		this.#stopTimer = this.#parts.clock.after(this.#quietMaxMs - quiet, () => this.#watch());
	}
	#lose(reason, verdict) {
		const { clock } = this.#parts;
		if (this.#state.name === "connected" && clock.now() - this.#greetedAt >= STABLE_MS) this.#backoff.reset();
		if (!this.#leave(verdict, reason)) return;
		if (verdict === "stay_away") return this.#change({ name: "closed", reason });
		const retryInMs = reason.retryAfterMs ?? this.#backoff.next();
		this.#stopTimer = clock.after(retryInMs, () => void this.#connect());
		this.#change({ name: "disconnected", reason, retryInMs });
	}
	/** Drops the link. False when a listener has decided meanwhile what comes next: it closed, and maybe connected anew. */
	#leave(verdict, reason) {
		const life = ++this.#life;
		this.#stopTimer();
		this.#link?.close();
		this.#link = void 0;
		this.#host.lost(verdict, reason);
		return life === this.#life;
	}
	#write(commands) {
		this.#link?.send(this.#parts.codec.encode(commands));
	}
	#change(state) {
		this.#state = state;
		this.#host.changed(state);
	}
};
var CONNECT_ID = 1;
var CONNECT_TIMEOUT_MS = 15e3;
var PROBE_TIMEOUT_MS = 5e3;
var STABLE_MS = 1e4;
function closeReason(code, text) {
	if (code < 4e3 && !text) return ParlorError.local("connection_lost", `the connection was lost (${code})`);
	return new ParlorError(code, "closed_by_server", text || `closed by the server (${code})`);
}
function fits(frame, bytesMax) {
	return frame.length * 3 <= bytesMax || bytesOf(frame) <= bytesMax;
}
function bytesOf(frame) {
	return typeof frame === "string" ? new TextEncoder().encode(frame).length : frame.length;
}

// typescript/src/emitter.ts
var Emitter = class {
	#listeners = new Map();
	/** Calls `listener` on each event of this type, until the returned function is called. */
	on(type, listener) {
		const set = this.#listeners.get(type) ?? new Set();
		this.#listeners.set(type, set.add(listener));
		return () => set.delete(listener);
	}
	emit(type, value) {
		for (const listener of [...this.#listeners.get(type) ?? []]) {
			try {
				listener(value);
			} catch (error) {
				queueMicrotask(() => {
					throw error;
				});
			}
		}
	}
};

// typescript/src/history.ts
async function* historyPages(channel, query, ask) {
	let page = await ask({ ...query, channel });
	const { epoch } = page;
	for (; ; ) {
		yield page;
		const offset = lastOffset(page.events);
		if (!page.more || offset === void 0) return;
		page = await ask({ channel, direction: query.direction, limit: query.limit, offset });
		if (page.epoch !== epoch) throw ParlorError.local("log_changed", "unable to read on; the log began a new life");
	}
}
function lastOffset(events) {
	return events.at(-1)?.offset;
}

// typescript/src/payload.ts
function copyOf(data) {
	if (data instanceof Uint8Array) return new Uint8Array(data);
	const json = jsonOf(data);
	if (json === void 0) throw badPayload("the payload is not a JSON value");
	return JSON.parse(json);
}
function jsonOf(data) {
	try {
		return JSON.stringify(data);
	} catch (error) {
		throw badPayload(String(error));
	}
}
function badPayload(why) {
	return new ParlorError(ERROR_CODES.bad_payload, "bad_payload", why);
}

// typescript/src/random-id.ts
function randomId() {
	if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
	const bytes = crypto.getRandomValues(new Uint8Array(16));
	bytes[6] = (bytes[6] ?? 0) & 15 | 64;
	bytes[8] = (bytes[8] ?? 0) & 63 | 128;
	const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
	return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

// typescript/src/cursor.ts
var Cursor = class {
	#position;
	#offset;
	get position() {
		return this.#position;
	}
	/** The newest offset that was seen or passed over. */
	get offset() {
		return this.#offset;
	}
	/** What to ask for: everything behind the newest event, or `initially` where none was seen. */
	recover(initially) {
		return this.#position === void 0 ? initially : { from: this.#position };
	}
	subscribed(reply) {
		if (reply.recovered === true && reply.from !== void 0) {
			if (this.#position === void 0) this.#offset = reply.from - 1;
		} else {
			this.#position = reply.position;
			this.#offset = reply.offset;
		}
	}
	/** Judges an event and, if it is the next one, moves onto it. */
	follow(event) {
		if (event.offset === void 0) return "unlogged";
		if (this.#offset !== void 0) {
			if (event.offset <= this.#offset) return "duplicate";
			if (event.offset > this.#offset + 1) return "gap";
		}
		this.moveTo(event.offset, event.position);
		return "next";
	}
	moveTo(offset, position) {
		if (this.#offset !== void 0 && offset <= this.#offset) return;
		this.#offset = offset;
		this.#position = position ?? this.#position;
	}
	forget() {
		this.#position = this.#offset = void 0;
	}
};

// typescript/src/roster.ts
var Roster = class {
	#source;
	#backoff;
	#entries = new Map();
	#version = 0;
	#users = 0;
	#connections = 0;
	/** Diffs that arrived while a snapshot is taken; undefined while none is. */
	#held;
	#isLoaded = false;
	#isStale = false;
	#load = 0;
	/** Set while a snapshot is due later. */
	#stopLater;
	constructor(source) {
		this.#source = source;
		this.#backoff = new Backoff(source.random, RELOAD_BACKOFF);
	}
	/** Whether a snapshot has arrived; before it the roster is empty. */
	get isLoaded() {
		return this.#isLoaded;
	}
	/**
	 * Whether some came, changed or left without being named, since the server names nobody in a large room: `members` is
	 * out of date, `users` and `connections` are right. {@link load} reads the list again; in a small room that happens by itself.
	 */
	get isStale() {
		return this.#isStale;
	}
	/** How many users are there: need not be as many as `members` while a snapshot is taken or the list {@link isStale}. */
	get users() {
		return this.#users;
	}
	get connections() {
		return this.#connections;
	}
	get members() {
		return Array.from(this.#entries.values(), (entry) => entry.member);
	}
	member(user) {
		return this.#entries.get(user)?.member;
	}
	/** Takes a new snapshot; the old entries stay until it is complete. */
	load() {
		this.#cancelLater();
		void this.#takeSnapshot(++this.#load);
	}
	/** The subscription is gone: what still arrives of the snapshot is ignored. The entries stay, as last known. */
	stop() {
		this.#cancelLater();
		this.#load++;
		this.#held = void 0;
	}
	apply(diff) {
		if (this.#held === void 0) {
			if (this.#merge(diff)) this.#source.changed();
		} else if (this.#held.length < HELD_MAX) {
			this.#held.push(diff);
		} else {
			this.load();
		}
	}
	async #takeSnapshot(load) {
		this.#held = [];
		const pages = [];
		try {
			do {
				pages.push(await this.#source.page(pages.at(-1)?.next));
				if (load !== this.#load) return;
			} while (pages.at(-1)?.next !== void 0);
		} catch (error) {
			if (load === this.#load) this.#giveUp(error);
			return;
		}
		this.#replace(pages);
	}
	#giveUp(error) {
		this.#held = void 0;
		if (error.isRetryable || error.code < 1e3) this.#loadLater();
		this.#source.failed(error);
	}
	#replace(pages) {
		this.#entries = new Map(
			pages.flatMap((page) => page.members.map((member) => [member.user, { member, version: page.version }]))
		);
		this.#version = pages[0]?.version ?? 0;
		this.#count(pages.at(-1) ?? { users: 0, connections: 0 });
		this.#isLoaded = true;
		this.#isStale = false;
		const held = this.#held ?? [];
		this.#held = void 0;
		for (const diff of held) this.apply(diff);
		this.#source.changed();
	}
	/** Whether the diff was news. One that has names and skips a version starts a new snapshot instead. */
	#merge(diff) {
		if (!this.#isLoaded || diff.version <= this.#version) return false;
		const isNamed = hasNames(diff);
		if (isNamed && diff.version > this.#version + 1) {
			this.load();
			return false;
		}
		this.#version = diff.version;
		for (const member of [...diff.joined ?? [], ...diff.updated ?? []]) this.#put(member, diff.version);
		for (const user of diff.left ?? []) this.#remove(user, diff.version);
		this.#count(diff);
		this.#isStale ||= !isNamed;
		if (!this.#isStale) this.#backoff.reset();
		else if (isNamed || diff.users <= SMALL_USERS_MAX) this.#loadLater();
		return true;
	}
	/** Not at once: all who hold this roster see at the same moment that it is worth reading again. */
	#loadLater() {
		this.#stopLater ??= this.#source.clock.after(this.#backoff.next(), () => this.load());
	}
	#cancelLater() {
		this.#stopLater?.();
		this.#stopLater = void 0;
	}
	#put(member, version) {
		const known = this.#entries.get(member.user);
		if (known === void 0 || known.version < version) this.#entries.set(member.user, { member, version });
	}
	#remove(user, version) {
		const known = this.#entries.get(user);
		if (known !== void 0 && known.version < version) this.#entries.delete(user);
	}
	#count(totals) {
		this.#users = totals.users;
		this.#connections = totals.connections;
	}
};
var HELD_MAX = 1e4;
var SMALL_USERS_MAX = 200;
var RELOAD_BACKOFF = { baseMs: 4e3, capMs: 6e4 };
function hasNames({ joined = [], updated = [], left = [] }) {
	return joined.length + updated.length + left.length > 0;
}

// typescript/src/subscription.ts
var Subscription = class extends Emitter {
	channel;
	/** Undefined unless presence was asked for. */
	roster;
	#host;
	#options;
	#cursor = new Cursor();
	#backoff;
	#state = { name: "subscribing" };
	/** The request under way, token and all, as an identity: an older one's answer is not taken for it. Undefined while none is. */
	#asking;
	/** Whether the server may hold this connection as subscribed. */
	#isHeld = false;
	/** Forgot its place on the server's order, and has not told the application yet. */
	#isFresh = false;
	#stopRetry = () => {
	};
	/** Made by `Client.subscribe`. */
	constructor(channel, options, host) {
		super();
		this.channel = channel;
		this.#options = options;
		this.#host = host;
		this.#backoff = new Backoff(host.random);
		this.roster = options.presence ? this.#newRoster() : void 0;
	}
	get state() {
		return this.#state;
	}
	/** What a later subscription could resume from: undefined before the first answer. */
	get position() {
		return this.#cursor.position;
	}
	/** Resolves once subscribed; rejects when it ends before. */
	whenSubscribed() {
		return new Promise((resolve, reject) => {
			const look = (state) => {
				if (state.name === "subscribing") return;
				stop();
				if (state.name === "subscribed") resolve();
				else reject(state.reason);
			};
			const stop = this.on("state", look);
			look(this.#state);
		});
	}
	publish(data, options) {
		return this.#host.publish(this.channel, data, options);
	}
	signal(data) {
		return this.#host.signal(this.channel, data);
	}
	/** Reads the log page by page, on demand. */
	history(query = {}) {
		return historyPages(this.channel, query, (body) => this.#host.ask("history", body));
	}
	/** Sets one's own state in this channel; undefined removes it. */
	async setPresence(state) {
		await this.#host.ask("presence_set", { channel: this.channel, state });
	}
	unsubscribe() {
		if (this.#state.name === "unsubscribed") return;
		if (this.#isHeld && this.#host.isConnected()) this.#sendUnsubscribe();
		this.#end(ParlorError.local("closed_by_application", "unsubscribed by the application"));
	}
	/** @internal The command that subscribes or resumes; undefined where a token must be fetched first, which {@link ask} does. */
	request() {
		const { token } = this.#options;
		return typeof token === "function" ? void 0 : this.#body(token);
	}
	/** @internal Subscribes on the present connection; does nothing where that is over, done or under way already. */
	ask() {
		if (this.#state.name !== "subscribing" || this.#asking !== void 0) return;
		this.#stopRetry();
		const asking = this.#asking = {};
		const { token } = this.#options;
		if (typeof token !== "function") return this.#send(asking, token);
		Promise.resolve().then(token).then(
			(fetched) => this.#send(asking, fetched),
			(error) => this.#answered(asking, ParlorError.local("token_unavailable", `unable to get a token; ${String(error)}`))
		);
	}
	/** @internal */
	accepted(reply) {
		if (this.#state.name === "unsubscribed") return this.#sendUnsubscribe();
		this.#isHeld = true;
		this.#host.bind(reply.alias, this);
		const reset = this.#resetReason(reply);
		this.#isFresh = false;
		this.#cursor.subscribed(reply);
		this.#change({ name: "subscribed", durability: reply.durability, offset: reply.offset });
		if (reply.presence && this.#state.name === "subscribed") this.roster?.load();
		if (reset !== void 0) this.emit("reset", reset);
	}
	/** @internal */
	refused(error) {
		if (this.#state.name === "unsubscribed") return;
		if (error.code === ERROR_CODES.already_subscribed) return this.#subscribeAnew(error);
		const comesBack = error.isRetryable || error.code < 1e3 || error.needsToken && typeof this.#options.token === "function";
		if (comesBack) this.#askLater(error);
		else this.#end(error);
	}
	/** @internal */
	received(event) {
		const step = this.#cursor.follow(event);
		if (step === "duplicate") return;
		if (step === "gap") return this.#subscribeAnew(ParlorError.local("gap", `offset ${event.offset} came after ${this.#cursor.offset}`));
		if (step === "next") this.#backoff.reset();
		this.emit("event", event);
		if (event.kind === "message" && event.data !== void 0) this.emit("message", event);
		if (event.kind === "signal") this.emit("signal", event);
	}
	/** @internal */
	advanced(advance) {
		this.#cursor.moveTo(advance.offset, advance.position);
		this.emit("advance", advance);
	}
	/** @internal */
	presenceChanged(diff) {
		this.roster?.apply(diff);
	}
	/** @internal The server ended it. */
	ended({ code, reason, resubscribe }) {
		const why = new ParlorError(code, "unsubscribed", reason);
		this.#isHeld = false;
		if (resubscribe) this.#askLater(why);
		else this.#end(why);
	}
	/** @internal The connection is gone; the client asks again on the next one. */
	detached() {
		if (this.#state.name === "unsubscribed") return;
		this.#isHeld = false;
		this.#leave();
		this.#change({ name: "subscribing" });
	}
	/** @internal The server wants everyone to begin anew. */
	forgetPosition() {
		this.#isFresh ||= this.#cursor.position !== void 0;
		this.#cursor.forget();
	}
	/** Why events may be missing behind this reply; undefined when none are. */
	#resetReason(reply) {
		if (reply.recovered === false) return reply.reason ?? "expired";
		if (this.#isFresh) return "fresh";
		const { position } = this.#cursor;
		const wentOn = reply.recovered === void 0 && position !== void 0 && position !== reply.position;
		return wentOn ? "fresh" : void 0;
	}
	#body(token) {
		return {
			channel: this.channel,
			token,
			recover: this.#cursor.recover(this.#options.recover),
			presence: this.#options.presence || void 0
		};
	}
	#send(asking, token) {
		if (asking !== this.#asking || !this.#host.isConnected()) return;
		if (this.#isHeld) this.#sendUnsubscribe();
		this.#isHeld = true;
		this.#host.start("subscribe", this.#body(token), ONCE, (outcome) => this.#answered(asking, outcome));
	}
	#answered(asking, outcome) {
		if (asking !== this.#asking) return;
		this.#asking = void 0;
		if (outcome instanceof ParlorError) this.refused(outcome);
		else this.accepted(outcome);
	}
	/** After a fault: unsubscribes and resumes from the newest event, not faster than the backoff allows. */
	#subscribeAnew(why) {
		this.#isHeld = true;
		this.#askLater(why);
	}
	#askLater(why) {
		this.#leave();
		this.#change({ name: "subscribing" });
		this.emit("error", why);
		this.#stopRetry = this.#host.clock.after(why.retryAfterMs ?? this.#backoff.next(), () => {
			if (this.#host.isConnected()) this.ask();
		});
	}
	#sendUnsubscribe() {
		this.#isHeld = false;
		this.#host.start("unsubscribe", { channel: this.channel }, ONCE, () => {
		});
	}
	/** Hears nothing more from the present subscription. */
	#leave() {
		this.#asking = void 0;
		this.#stopRetry();
		this.#host.unbind(this);
		this.roster?.stop();
	}
	#end(reason) {
		this.#leave();
		this.#host.release(this);
		this.#change({ name: "unsubscribed", reason });
	}
	#change(state) {
		if (state.name === "subscribing" && this.#state.name === "subscribing") return;
		this.#state = state;
		this.emit("state", state);
	}
	#newRoster() {
		const { clock, random } = this.#host;
		const roster = new Roster({
			clock,
			random,
			page: (cursor) => this.#host.members(this.channel, cursor),
			changed: () => this.emit("presence", roster),
			failed: (error) => this.emit("error", error)
		});
		return roster;
	}
};
var ONCE = { resend: false, timeoutMs: 3e4 };

// typescript/src/subscriptions.ts
var Subscriptions = class {
	#byChannel = new Map();
	#byAlias = new Map();
	#host;
	constructor(host) {
		this.#host = {
			...host,
			bind: (alias, subscription) => void this.#byAlias.set(alias, subscription),
			unbind: (subscription) => this.#unbind(subscription),
			release: (subscription) => this.#release(subscription)
		};
	}
	get(channel) {
		return this.#byChannel.get(channel);
	}
	add(channel, options) {
		if (this.#byChannel.has(channel)) throw new Error(`already subscribed to ${channel}`);
		const subscription = new Subscription(channel, options, this.#host);
		this.#byChannel.set(channel, subscription);
		return subscription;
	}
	/**
	 * As many as a `connect` command with room for `bytesMax` may carry, and what each asks for; the others follow it. So do
	 * those whose token must be fetched first: that this fails or takes long is no other channel's business.
	 */
	forConnect(bytesMax, weigh) {
		const carried = new Map();
		let room = bytesMax;
		for (const subscription of this.#byChannel.values()) {
			const body = subscription.request();
			if (body === void 0) continue;
			room -= weigh(body);
			if (room < 0 || carried.size === CONNECT_SUBSCRIPTIONS_MAX) break;
			carried.set(subscription, body);
		}
		return carried;
	}
	/**
	 * Takes the outcomes of the `connect` command, and asks for what it did not carry; until a listener closes the
	 * connection, which detaches all.
	 */
	settle(carried, outcomes) {
		const byChannel = new Map(outcomes.map((outcome) => [outcome.channel, outcome]));
		for (const subscription of carried.keys()) {
			if (!this.#host.isConnected()) return;
			const outcome = byChannel.get(subscription.channel);
			if (outcome === void 0) subscription.refused(new ParlorError(ERROR_CODES.internal, "internal", "the connect reply has no outcome"));
			else if ("error" in outcome) subscription.refused(ParlorError.fromWire(outcome.error));
			else subscription.accepted(outcome);
		}
		for (const subscription of [...this.#byChannel.values()]) {
			if (this.#host.isConnected() && !carried.has(subscription)) subscription.ask();
		}
	}
	detach(verdict) {
		this.#byAlias.clear();
		for (const subscription of [...this.#byChannel.values()]) {
			if (verdict === "fresh") subscription.forgetPosition();
			subscription.detached();
		}
	}
	/** Hands a push to its subscription; returns one that it made. */
	push(push) {
		switch (push.name) {
			case "event":
				return void this.#byAlias.get(push.body.alias)?.received(withoutAlias(push.body));
			case "advance":
				return void this.#byAlias.get(push.body.alias)?.advanced(push.body);
			case "presence":
				return void this.#byAlias.get(push.body.alias)?.presenceChanged(push.body);
			case "unsubscribed":
				return void this.#byAlias.get(push.body.alias)?.ended(push.body);
			case "subscribed":
				return this.#subscribedByServer(push.body);
			default:
				return void 0;
		}
	}
	#subscribedByServer(reply) {
		const known = this.get(reply.channel);
		const subscription = known ?? this.add(reply.channel, { presence: reply.presence });
		subscription.accepted(reply);
		return known === void 0 ? subscription : void 0;
	}
	#unbind(subscription) {
		for (const [alias, bound] of this.#byAlias) if (bound === subscription) this.#byAlias.delete(alias);
	}
	#release(subscription) {
		if (this.#byChannel.get(subscription.channel) === subscription) this.#byChannel.delete(subscription.channel);
	}
};
var CONNECT_SUBSCRIPTIONS_MAX = 100;
function withoutAlias({ alias: _, ...event }) {
	return event;
}

// typescript/src/token-source.ts
var TokenSource = class {
	#source;
	#clock;
	#token;
	#endsAt = Infinity;
	#stale = false;
	/** Whether the token in use was fetched when it was last asked for. */
	#isNew = false;
	constructor(source, clock) {
		this.#source = source;
		this.#clock = clock;
	}
	get canRefresh() {
		return typeof this.#source === "function";
	}
	/** Whether there may be a better token than the one in use: not if that was fetched for this very attempt. */
	get hasAnother() {
		return this.canRefresh && !this.#isNew;
	}
	/** The token to use now: undefined where none is configured. Rejects when the only one has ended. */
	async current() {
		if (typeof this.#source === "function") {
			this.#isNew = this.#token === void 0 || this.#stale || this.#clock.now() >= this.#endsAt;
			return this.#isNew ? this.fresh() : this.#token;
		}
		if (this.#stale) throw new ParlorError(ERROR_CODES.token_expired, "token_expired", "the token has ended, and there is no way to get another");
		return this.#source;
	}
	/** A new token, whatever the one at hand is worth. */
	async fresh() {
		if (typeof this.#source !== "function") return this.#source;
		this.#token = await this.#source();
		this.#stale = false;
		this.#endsAt = Infinity;
		return this.#token;
	}
	/** The server took the token, and says how long it lasts. */
	accepted(expiresInMs) {
		this.#stale = false;
		this.#endsAt = expiresInMs === void 0 ? Infinity : this.#clock.now() + expiresInMs;
	}
	/** The server refused the token at hand, or it ended. */
	refused() {
		this.#stale = true;
	}
};

// typescript/src/transport/websocket.ts
var WebSocketTransport = class {
	#url;
	#socketClass;
	/** `socketClass` is needed where the platform has no `WebSocket` of its own (Node before 22). */
	constructor(url, socketClass = globalThis.WebSocket) {
		if (socketClass === void 0) throw new TypeError("this platform has no WebSocket; pass a class for it");
		this.#url = url;
		this.#socketClass = socketClass;
	}
	open(subprotocol, handlers) {
		const socket = new this.#socketClass(this.#url, [subprotocol]);
		socket.binaryType = "arraybuffer";
		socket.onopen = () => handlers.opened();
		socket.onmessage = (event) => handlers.received(typeof event.data === "string" ? event.data : new Uint8Array(event.data));
		socket.onclose = (event) => handlers.closed(event.code, event.reason);
		return { send: (frame) => socket.send(frame), close: () => abandon(socket) };
	}
};
function abandon(socket) {
	socket.onopen = socket.onmessage = socket.onclose = null;
	socket.onerror = () => {
	};
	socket.close(1e3);
}

// typescript/src/version.ts
var VERSION = "0.1.0";

// typescript/src/wake.ts
function onWake(task) {
	if (typeof window === "undefined" || typeof document === "undefined") return () => {
	};
	const whenVisible = () => {
		if (document.visibilityState === "visible") task();
	};
	window.addEventListener("online", task);
	document.addEventListener("visibilitychange", whenVisible);
	return () => {
		window.removeEventListener("online", task);
		document.removeEventListener("visibilitychange", whenVisible);
	};
}

// typescript/src/client.ts
var Client = class extends Emitter {
	#options;
	#clock;
	#connection;
	#calls;
	#subscriptions;
	#tokens;
	#session;
	#dedupWindowMs = DEDUP_WINDOW_MS;
	#isConnected = false;
	#degraded = false;
	#stopWaking = () => {
	};
	constructor(options) {
		super();
		const { url, clock = systemClock, random = Math.random } = options;
		this.#options = options;
		this.#clock = clock;
		this.#tokens = new TokenSource(options.token, clock);
		this.#calls = new Calls(clock, random, options.pendingMax ?? PENDING_MAX);
		this.#subscriptions = new Subscriptions(this.#subscriptionsHost(random));
		const transport = typeof url === "string" ? new WebSocketTransport(url, options.webSocket) : url;
		this.#connection = new Connection({ transport, codec: options.codec ?? jsonCodec, clock, random }, this.#connectionHost());
	}
	get state() {
		return this.#connection.state;
	}
	/** Connects and stays connected until {@link close}, or until the server wants it to stay away. */
	connect() {
		if (this.state.name === "closed") this.#stopWaking = onWake(() => this.#connection.wake());
		this.#connection.open();
	}
	/** Ends the connection and all that waits for an answer. Subscriptions come back with the next {@link connect}. */
	close() {
		this.#connection.close();
	}
	/**
	 * Subscribes now or as soon as it is connected, and again after each reconnect.
	 * @throws Error when this client holds a subscription to the channel already.
	 */
	subscribe(channel, options = {}) {
		const subscription = this.#subscriptions.add(channel, options);
		if (this.#isConnected) subscription.ask();
		return subscription;
	}
	/** The subscription that this client holds to a channel. */
	subscription(channel) {
		return this.#subscriptions.get(channel);
	}
	/** Resolves when the server has kept the message as it is now; it is sent again across reconnects until then. */
	async publish(channel, data, options = {}) {
		const { id = randomId(), echo, tags } = options;
		const longest = this.#dedupWindowMs * DEDUP_WINDOW_SHARE;
		const timeoutMs = Math.min(options.timeoutMs ?? longest, longest);
		const body = { channel, id, echo, tags: tags && { ...tags }, data: copyOf(data) };
		return this.#calls.call("publish", body, { resend: true, resendMs: longest, timeoutMs });
	}
	/** Fans out an event that is never logged. Rejects at once when not connected. */
	async signal(channel, data) {
		await this.#calls.call("signal", { channel, data }, { resend: false, timeoutMs: ASK_TIMEOUT_MS });
	}
	/** Reads a channel's log page by page, on demand. */
	history(channel, query = {}) {
		return historyPages(channel, query, (body) => this.#ask("history", body));
	}
	/** One page of who is in a channel; `limit` 0 asks for the counts alone. */
	presence(channel, page = {}) {
		return this.#ask("presence", { ...page, channel });
	}
	#ask(name, body) {
		return this.#calls.call(name, body, ASK);
	}
	async #greeting() {
		const token = await this.#tokens.current();
		const { user, client, pingIntervalMs } = this.#options;
		const bare = {
			token,
			user,
			client: client ?? { name: "parlor-typescript", version: VERSION },
			session: this.#session,
			ping_interval_ms: pingIntervalMs
		};
		const room = this.#connection.frameBytesMax - this.#connection.weigh({ name: "connect", body: bare }) - LIST_BYTES;
		const carried = this.#subscriptions.forConnect(room, (body) => this.#connection.weigh({ name: "subscribe", body }));
		return { connect: { ...bare, subscriptions: [...carried.values()] }, greeted: (reply) => this.#greeted(reply, carried) };
	}
	#greeted(reply, carried) {
		this.#isConnected = true;
		this.#session = reply.session;
		this.#dedupWindowMs = reply.limits.dedup_window_ms;
		this.#tokens.accepted(reply.expires_in_ms);
		this.#calls.attach((command) => this.#connection.send([command]));
		this.#subscriptions.settle(carried, reply.subscriptions ?? []);
		this.#told(reply.degraded);
	}
	#lost(verdict, reason) {
		this.#isConnected = false;
		if (verdict === "fresh") this.#session = void 0;
		if (reason.needsToken || TOKEN_CLOSES.has(reason.code)) this.#tokens.refused();
		this.#subscriptions.detach(verdict);
		this.#calls.detach();
	}
	#changed(state) {
		if (state.name === "closed") {
			this.#stopWaking();
			this.#calls.rejectAll(state.reason);
		}
		this.emit("state", state);
	}
	#received(message) {
		if (message.type === "push") this.#push(message);
		else this.#calls.receive(message);
	}
	#push(push) {
		if (push.name === "token_expiring") return void this.#refresh();
		if (push.name === "status") return this.#told(push.body.degraded);
		const made = this.#subscriptions.push(push);
		if (made !== void 0) this.emit("subscribed", made);
	}
	#told(degraded = false) {
		if (degraded === this.#degraded) return;
		this.#degraded = degraded;
		this.emit("degraded", degraded);
	}
	async #refresh() {
		if (!this.#tokens.canRefresh) return;
		try {
			const token = await this.#tokens.fresh();
			if (token === void 0) return;
			const reply = await this.#calls.callAnyway("refresh", { token }, { resend: false, timeoutMs: ASK_TIMEOUT_MS });
			this.#tokens.accepted(reply.expires_in_ms);
		} catch (error) {
			this.#tokens.refused();
			this.emit("error", error instanceof ParlorError ? error : ParlorError.local("token_unavailable", String(error)));
		}
	}
	#connectionHost() {
		return {
			greeting: () => this.#greeting(),
			hasAnotherToken: () => this.#tokens.hasAnother,
			received: (message) => this.#received(message),
			lost: (verdict, reason) => this.#lost(verdict, reason),
			changed: (state) => this.#changed(state)
		};
	}
	#subscriptionsHost(random) {
		return {
			clock: this.#clock,
			random,
			isConnected: () => this.#isConnected,
			start: (name, body, options, settled) => this.#calls.start(name, body, options, settled),
			ask: (name, body) => this.#ask(name, body),
			members: (channel, cursor) => this.#calls.callAnyway("presence", { channel, cursor }, ASK),
			publish: (channel, data, options) => this.publish(channel, data, options),
			signal: (channel, data) => this.signal(channel, data)
		};
	}
};
var TOKEN_CLOSES = new Set([CLOSE_CODES.token_expired, CLOSE_CODES.revoked, CLOSE_CODES.bad_token]);
var LIST_BYTES = 64;
var PENDING_MAX = 1e3;
var ASK_TIMEOUT_MS = 3e4;
var ASK = { resend: true, timeoutMs: ASK_TIMEOUT_MS };
var DEDUP_WINDOW_SHARE = 0.9;

// typescript/src/protocol/event.ts
function timeToDate(time) {
	return new Date(Number(BigInt(time) / 10000n));
}
export {
	CLIENT_CODES,
	CLOSE_CODES,
	Client,
	ERROR_CODES,
	ParlorError,
	Subscription,
	VERSION,
	WebSocketTransport,
	jsonCodec,
	randomId,
	timeToDate,
	verdictOf
};
