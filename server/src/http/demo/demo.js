// Built from sdk/demo by "npm run build" in sdk/demo. Do not edit.

// demo/src/main.ts
import { Client } from "./parlor.js";

// demo/src/address.ts
function channelOf(room) {
	const name = room.trim().replace(/[^A-Za-z0-9_\-.:@#=+,/~]+/g, "-");
	return name.includes(":") ? name : `room:${name || "lobby"}`;
}
function roomOf(channel) {
	return channel.replace(/^room:/, "");
}
function hashOf(channel) {
	return `#${roomOf(channel)}`;
}
function readAddress() {
	const parts = decodeURIComponent(location.hash.slice(1)).split("&");
	const isToken = (part) => part.startsWith("token=");
	const token = parts.find(isToken)?.slice("token=".length);
	const channel = channelOf(parts.find((part) => !isToken(part)) ?? "");
	if (token !== void 0 || location.hash === "") history.replaceState(null, "", hashOf(channel));
	return { channel, token };
}

// demo/src/dom.ts
function byId(id) {
	const found = document.getElementById(id);
	if (found === null) throw new Error(`index.html has no #${id}`);
	return found;
}
function element(tag, className = "", ...children) {
	const made = document.createElement(tag);
	made.className = className;
	made.append(...children);
	return made;
}
function button(text, act) {
	const made = element("button", "", text);
	made.type = "button";
	made.onclick = act;
	return made;
}
function avatar(user) {
	const words = user.trim().split(/\s+/);
	const initials = words.length > 1 ? words.slice(0, 2).map(firstLetter).join("") : firstLetter(user);
	const made = element("span", "avatar", initials.toUpperCase());
	made.ariaHidden = "true";
	made.style.setProperty("--hue", String(hueOf(user)));
	return made;
}
function firstLetter(word) {
	return [...word.trim()][0] ?? "?";
}
function hueOf(user) {
	let hash = 7;
	for (const letter of user) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) % 9973;
	return Math.round(hash * 137.5 % 360);
}

// demo/src/banner.ts
var Banner = class {
	#element = byId("banner");
	#retry;
	#wasLost = false;
	#timer = 0;
	constructor(retry) {
		this.#retry = retry;
	}
	show(state) {
		clearTimeout(this.#timer);
		switch (state.name) {
			case "connecting":
				if (!this.#wasLost) this.#timer = setTimeout(() => this.#say("Connecting…"), 400);
				return;
			case "connected":
				if (this.#wasLost) this.#say("Connected again", "good");
				else this.#clear();
				this.#wasLost = false;
				this.#timer = setTimeout(() => this.#clear(), 2e3);
				return;
			case "disconnected":
				this.#wasLost = true;
				return this.#say("Connection lost. Trying again…", "", button("Try now", this.#retry));
			case "closed":
				this.#wasLost = true;
				return this.#say(`Disconnected: ${state.reason.message}`, "", button("Connect", this.#retry));
		}
	}
	#say(text, tone = "", ...controls) {
		this.#element.className = `banner ${tone}`;
		if (this.#element.firstChild?.textContent !== text) this.#element.replaceChildren(text, ...controls);
	}
	#clear() {
		this.#element.replaceChildren();
	}
};

// demo/src/announcer.ts
var GATHER_MS = 1e3;
var SPOKEN_MAX = 2;
var Announcer = class {
	#element = byId("announcer");
	#waiting = [];
	announce(user, text) {
		this.#waiting.push(`${user}: ${text.slice(0, 300)}`);
		if (this.#waiting.length === 1) setTimeout(() => this.#speak(), GATHER_MS);
	}
	#speak() {
		const spoken = this.#waiting.length > SPOKEN_MAX ? [`${this.#waiting.length} new messages`] : this.#waiting;
		this.#waiting = [];
		this.#element.append(...spoken.map((line) => element("p", "", line)));
		while (this.#element.childElementCount > 10) this.#element.firstElementChild?.remove();
	}
};

// demo/src/composer.ts
var Composer = class {
	#form = byId("composer");
	#text = byId("text");
	#events;
	constructor(events) {
		this.#events = events;
		this.#form.onsubmit = (event) => {
			event.preventDefault();
			this.#send();
		};
		this.#text.onkeydown = (event) => {
			if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
			event.preventDefault();
			this.#send();
		};
		this.#text.oninput = () => {
			if (this.#text.value.trim()) this.#events.typing();
		};
	}
	focus() {
		if (matchMedia("(pointer: fine)").matches) this.#text.focus();
	}
	#send() {
		const text = this.#text.value.trim();
		if (!text) return;
		this.#text.value = "";
		this.#events.send(text);
		this.#text.focus();
	}
};

// demo/src/message.ts
import { timeToDate } from "./parlor.js";
var NOBODY = "Server";
function messageOf(event, me) {
	const { data } = event;
	const text = typeof data === "string" ? data : textIn(data);
	const message = {
		offset: event.offset ?? Infinity,
		id: event.id,
		user: event.user ?? NOBODY,
		text: text ?? (data instanceof Uint8Array ? `${data.length} bytes` : JSON.stringify(data)),
		isCode: text === void 0,
		date: timeToDate(event.time),
		isMine: event.user === me
	};
	return event.erased === true ? erased(message) : message;
}
function erased(message) {
	return { ...message, id: void 0, user: "Erased", text: "This message was erased.", isCode: false, isMine: false };
}
function textIn(data) {
	if (typeof data !== "object" || data === null || !("text" in data)) return void 0;
	return typeof data.text === "string" ? data.text : void 0;
}
var MessageItem = class {
	element = element("li");
	message;
	#body = element("article", "message");
	#fate = element("p", "fate");
	constructor(message) {
		this.message = message;
		const { user, text, date, isMine, isCode } = message;
		const time = element("time", "", date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
		time.dateTime = date.toISOString();
		time.title = date.toLocaleString();
		this.#body.classList.toggle("mine", isMine);
		this.#body.tabIndex = -1;
		this.#body.ariaLabel = `${isMine ? "You" : user}, ${time.textContent}: ${text}`;
		this.#body.append(
			avatar(user),
			element("div", "meta", element("b", "", user), time),
			element("div", isCode ? "bubble code" : "bubble", ...linked(text)),
			this.#fate
		);
		this.element.append(this.#body);
		if (!this.isWaiting) this.element.dataset["offset"] = String(message.offset);
		if (message.id !== void 0) this.element.dataset["id"] = message.id;
	}
	/** Whether the server has not given it a place yet. */
	get isWaiting() {
		return this.message.offset === Infinity;
	}
	get body() {
		return this.#body;
	}
	/** Draws it as what follows `before`: under a new day's date, or as more of the same person. */
	follow(before) {
		const { date, user, isMine } = this.message;
		const isNewDay = before?.message.date.toDateString() !== date.toDateString();
		const goesOn = !isNewDay && before.message.user === user && before.message.isMine === isMine && +date - +before.message.date < GROUP_MS;
		this.#body.classList.toggle("goes-on", goesOn);
		this.element.querySelector(".day")?.remove();
		if (isNewDay) this.element.prepend(element("p", "day", dayOf(date)));
	}
	rise() {
		this.#body.classList.add("new");
	}
	pending() {
		this.#body.classList.add("pending");
		this.#body.classList.remove("failed");
		this.#fate.role = null;
		this.#fate.replaceChildren("Sending…");
	}
	sent() {
		this.#body.classList.remove("pending", "failed");
		this.#fate.replaceChildren();
	}
	failed(why, retry) {
		this.#body.classList.add("failed");
		this.#fate.role = "alert";
		this.#fate.replaceChildren(`Not sent: ${why}`, button("Retry", retry));
	}
};
var GROUP_MS = 5 * 6e4;
function dayOf(date) {
	if (date.toDateString() === (new Date()).toDateString()) return "Today";
	return date.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}
function linked(text) {
	return text.split(/(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]}'])/).map((part, index) => {
		if (index % 2 === 0) return part;
		const link = element("a", "", part);
		link.href = part;
		link.target = "_blank";
		link.rel = "noopener noreferrer nofollow";
		return link;
	});
}

// demo/src/message-list.ts
var ITEMS_MAX = 400;
var ITEMS_KEPT = 300;
var NEAR_PX = 80;
var MessageList = class {
	#scroller = byId("scroller");
	#list = byId("messages");
	#jump = byId("jump");
	#beginning = byId("beginning");
	#loadOlder;
	#items = [];
	#unread = 0;
	#isAtEnd = true;
	constructor(loadOlder) {
		this.#loadOlder = loadOlder;
		this.#scroller.onscroll = () => this.#scrolled();
		this.#jump.onclick = () => this.#toEnd();
		this.#list.onkeydown = (event) => this.#key(event);
		new ResizeObserver(() => this.#isAtEnd && this.#toEnd()).observe(this.#scroller);
	}
	/** The smallest offset shown. */
	get oldest() {
		return this.#items.find(({ isWaiting }) => !isWaiting)?.message.offset;
	}
	clear() {
		this.#items = [];
		this.#list.replaceChildren();
		this.#unread = 0;
		this.#toEnd();
	}
	/** What stands above the oldest message. */
	say(beginning) {
		this.#beginning.textContent = beginning;
	}
	/** Adds a live message, or an own one on its way; one that is there already is left alone. */
	add(item) {
		if (!this.#insert(item)) return;
		item.rise();
		if (this.#isAtEnd || item.isWaiting) this.#toEnd();
		else if (!item.message.isMine) this.#countUnread(this.#unread + 1);
		if (this.#isAtEnd) this.#trim();
	}
	/** Adds older messages without moving what is being read. */
	addOlder(items) {
		const fromEnd = this.#scroller.scrollHeight - this.#scroller.scrollTop;
		for (const item of items) this.#insert(item);
		if (this.#isAtEnd) this.#toEnd();
		else this.#scroller.scrollTop = this.#scroller.scrollHeight - fromEnd;
	}
	remove(item) {
		const index = this.#items.indexOf(item);
		if (index < 0) return;
		this.#items.splice(index, 1);
		item.element.remove();
		this.#items[index]?.follow(this.#items[index - 1]);
		this.#rove();
	}
	/** Shows no more of these messages than that they were there. */
	erase(offsets) {
		for (const offset of offsets) {
			const index = this.#items.findIndex(({ message }) => message.offset === offset);
			const old = this.#items[index];
			if (old === void 0) continue;
			const item = new MessageItem(erased(old.message));
			old.element.replaceWith(item.element);
			this.#items[index] = item;
			item.follow(this.#items[index - 1]);
			this.#items[index + 1]?.follow(item);
		}
		this.#rove();
	}
	/** Whether there is room above: then older ones are wanted. */
	get wantsOlder() {
		return this.#scroller.scrollTop < 4 * NEAR_PX;
	}
	/** Whether it was not there yet. */
	#insert(item) {
		const { offset } = item.message;
		let index = this.#items.length;
		while (index > 0 && offsetAt(this.#items, index - 1) > offset) index--;
		if (!item.isWaiting && offsetAt(this.#items, index - 1) === offset) return false;
		this.#list.insertBefore(item.element, this.#items[index]?.element ?? null);
		this.#items.splice(index, 0, item);
		item.follow(this.#items[index - 1]);
		this.#items[index + 1]?.follow(item);
		this.#rove();
		return true;
	}
	#trim() {
		if (this.#items.length <= ITEMS_MAX) return;
		for (const item of this.#items.splice(0, this.#items.length - ITEMS_KEPT)) item.element.remove();
		this.#items[0]?.follow(void 0);
		this.#toEnd();
	}
	#scrolled() {
		const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
		this.#isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_PX;
		this.#countUnread(this.#isAtEnd ? 0 : this.#unread);
		if (this.wantsOlder) this.#loadOlder();
	}
	#toEnd() {
		this.#isAtEnd = true;
		this.#scroller.scrollTop = this.#scroller.scrollHeight;
		this.#countUnread(0);
	}
	#countUnread(unread) {
		this.#unread = unread;
		this.#jump.hidden = this.#isAtEnd;
		this.#jump.textContent = unread === 0 ? "↓ Latest" : `↓ ${unread} new`;
	}
	#key(event) {
		const at = this.#items.findIndex(({ body }) => body.contains(document.activeElement));
		const steps = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: this.#items.length - 1 };
		const to = steps[event.key];
		if (to !== void 0) {
			event.preventDefault();
			this.#rove(to);
			this.#items[to]?.body.focus();
		} else if (event.key === "Enter" && event.target === this.#items[at]?.body) {
			this.#items[at]?.body.querySelector("a, button")?.focus();
		} else if (event.key === "Escape") {
			if (event.target === this.#items[at]?.body) byId("text").focus();
			else this.#items[at]?.body.focus();
		}
	}
	/** Makes one message the list's Tab stop: the given one, else the newest unless one has it. */
	#rove(to) {
		const current = this.#list.querySelector("article[tabindex='0']");
		if (to === void 0 && current !== null && current === document.activeElement) return;
		const next = (to === void 0 ? this.#items.at(-1) : this.#items[to])?.body;
		if (next === void 0) return;
		if (current !== null) current.tabIndex = -1;
		next.tabIndex = 0;
	}
};
function offsetAt(items, index) {
	return items[index]?.message.offset ?? -Infinity;
}

// demo/src/people.ts
var SHOWN_MAX = 200;
var People = class {
	#list = byId("people");
	#count = byId("people-count");
	draw(roster, me) {
		const users = roster.members.map(({ user }) => user);
		const shown = Math.min(users.length, SHOWN_MAX);
		users.sort((a, b) => Number(b === me) - Number(a === me) || a.localeCompare(b));
		this.#count.textContent = `${roster.users} here`;
		this.#list.replaceChildren(...users.slice(0, shown).map((user) => personItem(user, me)));
		if (roster.users > shown) this.#list.append(element("li", "note", `and ${roster.users - shown} more`));
		if (roster.isStale) this.#list.append(element("li", "note", "some came or went since"));
	}
	clear() {
		this.#count.textContent = "";
		this.#list.replaceChildren();
	}
};
function personItem(user, me) {
	const item = element("li", "", avatar(user), element("span", "", user));
	if (user === me) item.append(element("span", "note", "you"));
	return item;
}

// demo/src/sending.ts
import { randomId } from "./parlor.js";
var SEND_TIMEOUT_MS = 3e4;
var Sending = class {
	#client;
	/** By id. They outlive a change of room. */
	#waiting = new Map();
	constructor(client) {
		this.#client = client;
	}
	send(channel, user, text) {
		const id = randomId();
		const item = new MessageItem({ offset: Infinity, id, user, text, isCode: false, date: new Date(), isMine: true });
		this.#waiting.set(id, { channel, item });
		this.#publish(channel, id, item);
		return item;
	}
	/** The message has its place; returns what stood for it. */
	placed(id) {
		const { item } = this.#waiting.get(id ?? "") ?? {};
		this.#waiting.delete(id ?? "");
		return item;
	}
	in(channel) {
		return [...this.#waiting.values()].filter((each) => each.channel === channel).map(({ item }) => item);
	}
	#publish(channel, id, item) {
		item.pending();
		this.#client.publish(channel, { text: item.message.text }, { id, timeoutMs: SEND_TIMEOUT_MS }).then(
			() => item.sent(),
			(error) => item.failed(error.message, () => this.#publish(channel, id, item))
		);
	}
};

// demo/src/typing.ts
var TELL_EVERY_MS = 2500;
var FORGET_AFTER_MS = 5e3;
var NAMED_MAX = 3;
var Typing = class {
	#element = byId("typing");
	#timers = new Map();
	#toldAt = -Infinity;
	/** Whether it is time to tell the others that one types. */
	mayTell() {
		if (performance.now() - this.#toldAt < TELL_EVERY_MS) return false;
		this.#toldAt = performance.now();
		return true;
	}
	/** One's message went out: the next letter is told at once. */
	sent() {
		this.#toldAt = -Infinity;
	}
	heard(user) {
		clearTimeout(this.#timers.get(user));
		this.#timers.set(user, setTimeout(() => this.stopped(user), FORGET_AFTER_MS));
		this.#draw();
	}
	stopped(user) {
		clearTimeout(this.#timers.get(user));
		if (this.#timers.delete(user)) this.#draw();
	}
	clear() {
		for (const user of [...this.#timers.keys()]) this.stopped(user);
	}
	#draw() {
		const users = [...this.#timers.keys()];
		const [last, ...others] = [...users].reverse();
		const named = others.length === 0 ? `${last} is` : `${others.reverse().join(", ")} and ${last} are`;
		this.#element.textContent = users.length === 0 ? "" : users.length > NAMED_MAX ? "Several people are typing…" : `${named} typing…`;
	}
};

// demo/src/room.ts
var PAGE_EVENTS = 50;
var Room = class {
	#client;
	#me;
	#sending;
	#list = new MessageList(() => void this.#loadOlder());
	#people = new People();
	#typing = new Typing();
	#announcer = new Announcer();
	#composer = new Composer({ send: (text) => this.#send(text), typing: () => this.#tellTyping() });
	#subscription;
	#isLoading = false;
	/** The offset of the oldest message that there is, as far as one knows. */
	#first = 1;
	/** What stood in the log already when one came in. */
	#joinedAt;
	/** `me` is known for certain only once connected. */
	constructor(client, me) {
		this.#client = client;
		this.#me = me;
		this.#sending = new Sending(client);
	}
	enter(channel) {
		this.#subscription?.unsubscribe();
		const subscription = this.#client.subscribe(channel, { recover: { latest: PAGE_EVENTS }, presence: true });
		this.#subscription = subscription;
		this.#joinedAt = void 0;
		this.#clear();
		this.#people.clear();
		this.#typing.clear();
		subscription.on("event", (event) => this.#received(event));
		subscription.on("presence", (roster) => this.#people.draw(roster, this.#me()));
		subscription.on("reset", () => {
			this.#clear();
			void this.#loadOlder();
		});
		subscription.on("state", (state) => {
			if (state.name === "subscribed") {
				this.#joinedAt ??= state.offset;
				this.#drawBeginning();
			}
			if (state.name === "unsubscribed" && this.#subscription === subscription) this.#list.say(`You are not in this room: ${state.reason.message}`);
		});
		this.#composer.focus();
	}
	#received(event) {
		const { kind, user = "" } = event;
		if (kind === "signal" && user !== this.#me()) this.#typing.heard(user);
		if (kind === "erase") this.#list.erase(event.data.offsets);
		if (kind !== "message") return;
		const item = this.#itemOf(event);
		this.#list.add(item);
		this.#typing.stopped(user);
		this.#drawBeginning();
		const { isMine, offset } = item.message;
		if (!isMine && event.erased !== true && offset > (this.#joinedAt ?? 0)) this.#announcer.announce(item.message.user, item.message.text);
	}
	#send(text) {
		this.#list.add(this.#sending.send(this.#subscription?.channel ?? "", this.#me(), text));
		this.#typing.sent();
	}
	#tellTyping() {
		if (this.#typing.mayTell()) this.#subscription?.signal({ typing: true }).catch(() => {
		});
	}
	async #loadOlder() {
		const subscription = this.#subscription;
		const offset = this.#list.oldest;
		if (subscription === void 0 || this.#isLoading || this.#isComplete) return;
		this.#isLoading = true;
		try {
			const { value: page } = await subscription.history({ offset, limit: PAGE_EVENTS }).next();
			if (page && subscription === this.#subscription) {
				this.#list.addOlder(page.events.filter(({ kind }) => kind === "message").map((event) => this.#itemOf(event)));
				if (!page.more) this.#first = this.#list.oldest ?? 1;
			}
		} catch {
			return;
		} finally {
			this.#isLoading = false;
		}
		this.#drawBeginning();
	}
	/** The event's item; if it is one's own, what stood for it meanwhile goes. */
	#itemOf(event) {
		const message = messageOf(event, this.#me());
		const waiting = message.isMine ? this.#sending.placed(message.id) : void 0;
		if (waiting !== void 0) this.#list.remove(waiting);
		return new MessageItem(message);
	}
	#clear() {
		this.#first = 1;
		this.#list.clear();
		this.#list.say("");
		for (const item of this.#sending.in(this.#subscription?.channel ?? "")) this.#list.add(item);
	}
	get #isComplete() {
		return (this.#list.oldest ?? Infinity) <= this.#first;
	}
	#drawBeginning() {
		const { oldest } = this.#list;
		const room = roomOf(this.#subscription?.channel ?? "");
		if (oldest === void 0) this.#list.say(`Nothing was said in # ${room} yet. Say hello!`);
		else this.#list.say(this.#isComplete ? `This is the beginning of # ${room}.` : "");
		if (oldest !== void 0 && this.#list.wantsOlder) void this.#loadOlder();
	}
};

// demo/src/store.ts
var ROOMS_MAX = 12;
var store = {
	/** This tab's: another tab may be another person. */
	get name() {
		return read(sessionStorage, "name");
	},
	set name(name) {
		write(sessionStorage, "name", name);
		if (name !== void 0) write(localStorage, "name", name);
	},
	get lastName() {
		return read(localStorage, "name") ?? "";
	},
	get token() {
		return read(sessionStorage, "token");
	},
	set token(token) {
		write(sessionStorage, "token", token);
	},
	/** Newest first. */
	get channels() {
		return (read(localStorage, "rooms") ?? "").split("&").filter(Boolean);
	},
	visit(channel) {
		const others = this.channels.filter((each) => each !== channel);
		write(localStorage, "rooms", [...others, channel].slice(-ROOMS_MAX).join("&"));
	}
};
function read(storage, key) {
	try {
		return storage.getItem(`parlor.${key}`) ?? void 0;
	} catch {
		return void 0;
	}
}
function write(storage, key, value) {
	try {
		if (value === void 0) storage.removeItem(`parlor.${key}`);
		else storage.setItem(`parlor.${key}`, value);
	} catch {
		return;
	}
}

// demo/src/rooms.ts
var Rooms = class {
	#list = byId("rooms");
	constructor() {
		byId("open-room").onsubmit = (event) => {
			event.preventDefault();
			const input = byId("room-name");
			location.hash = hashOf(channelOf(input.value));
			input.value = "";
		};
	}
	draw(current) {
		store.visit(current);
		const channels = [...new Set(["room:lobby", ...store.channels.sort()])];
		this.#list.replaceChildren(...channels.map((channel) => roomItem(channel, channel === current)));
	}
};
function roomItem(channel, isCurrent) {
	const link = element("a", "", `# ${roomOf(channel)}`);
	link.href = hashOf(channel);
	if (isCurrent) link.ariaCurrent = "page";
	return element("li", "", link);
}

// demo/src/main.ts
var address = readAddress();
if (address.token !== void 0) store.token = address.token;
if (store.name === void 0 && store.token === void 0) welcome();
else chat();
function welcome() {
	const name = byId("name");
	const drawRoom = () => byId("welcome-room").textContent = `# ${roomOf(readAddress().channel)}`;
	drawRoom();
	window.onhashchange = drawRoom;
	byId("welcome").hidden = false;
	name.value = store.lastName;
	name.select();
	byId("join").onsubmit = (event) => {
		event.preventDefault();
		if (!name.value.trim()) return;
		store.name = name.value.trim();
		byId("welcome").hidden = true;
		chat();
	};
}
function chat() {
	byId("chat").hidden = false;
	const { name, token } = store;
	let me = name ?? "";
	const client = new Client({ url: socketUrl(), ...token === void 0 ? { user: me } : { token } });
	const banner = new Banner(() => client.connect());
	const room = new Room(client, () => me);
	const rooms = new Rooms();
	client.on("state", (state) => {
		if (state.name === "connected") me = state.user ?? me;
		byId("me").textContent = me;
		banner.show(state);
	});
	const enter = () => {
		const { channel } = readAddress();
		byId("room-title").textContent = `# ${roomOf(channel)}`;
		document.title = `# ${roomOf(channel)} · Parlor`;
		rooms.draw(channel);
		room.enter(channel);
		if (byId("panel").matches(":popover-open")) byId("panel").hidePopover();
	};
	window.onhashchange = enter;
	byId("leave").onclick = () => {
		store.name = store.token = void 0;
		location.reload();
	};
	enter();
	client.connect();
}
function socketUrl() {
	const url = new URL("/v1/socket", location.href);
	url.protocol = url.protocol.replace("http", "ws");
	url.hash = "";
	return url.href;
}
