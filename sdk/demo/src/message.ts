// One message as the page knows it, and its drawing.

import { timeToDate, type WireEvent } from "../../typescript/src/index.js";
import { avatar, button, element } from "./dom.js";

export interface Message {
  /** Infinity until the server gave it a place. */
  readonly offset: number;
  readonly id: string | undefined;
  readonly user: string;
  readonly text: string;
  /** Whether the text is data that no person wrote. */
  readonly isCode: boolean;
  readonly date: Date;
  readonly isMine: boolean;
}

/** Backends publish without a user. */
const NOBODY = "Server";

export function messageOf(event: WireEvent, me: string): Message {
  const { data } = event;
  const text = typeof data === "string" ? data : textIn(data);
  const message = {
    offset: event.offset ?? Infinity,
    id: event.id,
    user: event.user ?? NOBODY,
    text: text ?? (data instanceof Uint8Array ? `${data.length} bytes` : JSON.stringify(data)),
    isCode: text === undefined,
    date: timeToDate(event.time),
    isMine: event.user === me,
  };
  return event.erased === true ? erased(message) : message;
}

/** What is shown of a message that was erased. */
export function erased(message: Message): Message {
  return { ...message, id: undefined, user: "Erased", text: "This message was erased.", isCode: false, isMine: false };
}

function textIn(data: unknown): string | undefined {
  if (typeof data !== "object" || data === null || !("text" in data)) return undefined;
  return typeof data.text === "string" ? data.text : undefined;
}

/** A list item that knows its message. */
export class MessageItem {
  readonly element = element("li");
  readonly message: Message;
  readonly #body = element("article", "message");
  readonly #fate = element("p", "fate");

  constructor(message: Message) {
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
      this.#fate,
    );
    this.element.append(this.#body);
    if (!this.isWaiting) this.element.dataset["offset"] = String(message.offset);
    if (message.id !== undefined) this.element.dataset["id"] = message.id;
  }

  /** Whether the server has not given it a place yet. */
  get isWaiting(): boolean {
    return this.message.offset === Infinity;
  }

  get body(): HTMLElement {
    return this.#body;
  }

  /** Draws it as what follows `before`: under a new day's date, or as more of the same person. */
  follow(before: MessageItem | undefined): void {
    const { date, user, isMine } = this.message;
    const isNewDay = before?.message.date.toDateString() !== date.toDateString();
    const goesOn = !isNewDay && before.message.user === user && before.message.isMine === isMine && +date - +before.message.date < GROUP_MS;
    this.#body.classList.toggle("goes-on", goesOn);
    this.element.querySelector(".day")?.remove();
    if (isNewDay) this.element.prepend(element("p", "day", dayOf(date)));
  }

  rise(): void {
    this.#body.classList.add("new");
  }

  pending(): void {
    this.#body.classList.add("pending");
    this.#body.classList.remove("failed");
    this.#fate.role = null;
    this.#fate.replaceChildren("Sending…");
  }

  sent(): void {
    this.#body.classList.remove("pending", "failed");
    this.#fate.replaceChildren();
  }

  failed(why: string, retry: () => void): void {
    this.#body.classList.add("failed");
    this.#fate.role = "alert";
    this.#fate.replaceChildren(`Not sent: ${why}`, button("Retry", retry));
  }
}

const GROUP_MS = 5 * 60_000;

function dayOf(date: Date): string {
  if (date.toDateString() === new Date().toDateString()) return "Today";
  return date.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}

/** The text with its web addresses as links. */
function linked(text: string): (Node | string)[] {
  return text.split(/(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]}'])/).map((part, index) => {
    if (index % 2 === 0) return part;
    const link = element("a", "", part);
    link.href = part;
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
    return link;
  });
}
