// The room's messages in the order of their offsets, own unsent ones last. Keeps the reader's place: at the end it
// follows, elsewhere it stays put and counts what is new. One Tab stop; arrow keys walk inside.

import { byId } from "./dom.js";
import { erased, MessageItem } from "./message.js";

/** More than these are dropped at the top while one reads at the end; scrolling up brings them back. */
const ITEMS_MAX = 400;
const ITEMS_KEPT = 300;
const NEAR_PX = 80;

export class MessageList {
  readonly #scroller = byId("scroller");
  readonly #list = byId("messages");
  readonly #jump = byId("jump");
  readonly #beginning = byId("beginning");
  readonly #loadOlder: () => void;
  #items: MessageItem[] = [];
  #unread = 0;
  #isAtEnd = true;

  constructor(loadOlder: () => void) {
    this.#loadOlder = loadOlder;
    this.#scroller.onscroll = () => this.#scrolled();
    this.#jump.onclick = () => this.#toEnd();
    this.#list.onkeydown = (event) => this.#key(event);
    // Also when the keyboard of a phone comes up, or a banner.
    new ResizeObserver(() => this.#isAtEnd && this.#toEnd()).observe(this.#scroller);
  }

  /** The smallest offset shown. */
  get oldest(): number | undefined {
    return this.#items.find(({ isWaiting }) => !isWaiting)?.message.offset;
  }

  clear(): void {
    this.#items = [];
    this.#list.replaceChildren();
    this.#unread = 0;
    this.#toEnd();
  }

  /** What stands above the oldest message. */
  say(beginning: string): void {
    this.#beginning.textContent = beginning;
  }

  /** Adds a live message, or an own one on its way; one that is there already is left alone. */
  add(item: MessageItem): void {
    if (!this.#insert(item)) return;
    item.rise();
    if (this.#isAtEnd || item.isWaiting) this.#toEnd();
    else if (!item.message.isMine) this.#countUnread(this.#unread + 1);
    if (this.#isAtEnd) this.#trim();
  }

  /** Adds older messages without moving what is being read. */
  addOlder(items: readonly MessageItem[]): void {
    const fromEnd = this.#scroller.scrollHeight - this.#scroller.scrollTop;
    for (const item of items) this.#insert(item);
    if (this.#isAtEnd) this.#toEnd();
    else this.#scroller.scrollTop = this.#scroller.scrollHeight - fromEnd;
  }

  remove(item: MessageItem): void {
    const index = this.#items.indexOf(item);
    if (index < 0) return;
    this.#items.splice(index, 1);
    item.element.remove();
    this.#items[index]?.follow(this.#items[index - 1]);
    this.#rove();
  }

  /** Shows no more of these messages than that they were there. */
  erase(offsets: readonly number[]): void {
    for (const offset of offsets) {
      const index = this.#items.findIndex(({ message }) => message.offset === offset);
      const old = this.#items[index];
      if (old === undefined) continue;
      const item = new MessageItem(erased(old.message));
      old.element.replaceWith(item.element);
      this.#items[index] = item;
      item.follow(this.#items[index - 1]);
      this.#items[index + 1]?.follow(item);
    }
    this.#rove();
  }

  /** Whether there is room above: then older ones are wanted. */
  get wantsOlder(): boolean {
    return this.#scroller.scrollTop < 4 * NEAR_PX;
  }

  /** Whether it was not there yet. */
  #insert(item: MessageItem): boolean {
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

  #trim(): void {
    if (this.#items.length <= ITEMS_MAX) return;
    for (const item of this.#items.splice(0, this.#items.length - ITEMS_KEPT)) item.element.remove();
    this.#items[0]?.follow(undefined);
    this.#toEnd();
  }

  #scrolled(): void {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    this.#countUnread(this.#isAtEnd ? 0 : this.#unread);
    if (this.wantsOlder) this.#loadOlder();
  }

  #toEnd(): void {
    this.#isAtEnd = true;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#countUnread(0);
  }

  #countUnread(unread: number): void {
    this.#unread = unread;
    this.#jump.hidden = this.#isAtEnd;
    this.#jump.textContent = unread === 0 ? "↓ Latest" : `↓ ${unread} new`;
  }

  #key(event: KeyboardEvent): void {
    const at = this.#items.findIndex(({ body }) => body.contains(document.activeElement));
    const steps: Record<string, number> = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: this.#items.length - 1 };
    const to = steps[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.#rove(to);
      this.#items[to]?.body.focus();
    } else if (event.key === "Enter" && event.target === this.#items[at]?.body) {
      this.#items[at]?.body.querySelector<HTMLElement>("a, button")?.focus();
    } else if (event.key === "Escape") {
      if (event.target === this.#items[at]?.body) byId("text").focus();
      else this.#items[at]?.body.focus();
    }
  }

  /** Makes one message the list's Tab stop: the given one, else the newest unless one has it. */
  #rove(to?: number): void {
    const current = this.#list.querySelector<HTMLElement>("article[tabindex='0']");
    if (to === undefined && current !== null && current === document.activeElement) return;
    const next = (to === undefined ? this.#items.at(-1) : this.#items[to])?.body;
    if (next === undefined) return;
    if (current !== null) current.tabIndex = -1;
    next.tabIndex = 0;
  }
}

function offsetAt(items: readonly MessageItem[], index: number): number {
  return items[index]?.message.offset ?? -Infinity;
}
