// One room: joins what the subscription tells and what the person does.

import type { Client, Erasure, Subscription, WireEvent } from "../../typescript/src/index.js";
import { roomOf } from "./address.js";
import { Announcer } from "./announcer.js";
import { Composer } from "./composer.js";
import { MessageItem, messageOf } from "./message.js";
import { MessageList } from "./message-list.js";
import { People } from "./people.js";
import { Sending } from "./sending.js";
import { Typing } from "./typing.js";

const PAGE_EVENTS = 50;

export class Room {
  readonly #client: Client;
  readonly #me: () => string;
  readonly #sending: Sending;
  readonly #list = new MessageList(() => void this.#loadOlder());
  readonly #people = new People();
  readonly #typing = new Typing();
  readonly #announcer = new Announcer();
  readonly #composer = new Composer({ send: (text) => this.#send(text), typing: () => this.#tellTyping() });
  #subscription: Subscription | undefined;
  #isLoading = false;
  /** The offset of the oldest message that there is, as far as one knows. */
  #first = 1;

  /** What stood in the log already when one came in. */
  #joinedAt: number | undefined;

  /** `me` is known for certain only once connected. */
  constructor(client: Client, me: () => string) {
    this.#client = client;
    this.#me = me;
    this.#sending = new Sending(client);
  }

  enter(channel: string): void {
    this.#subscription?.unsubscribe();
    const subscription = this.#client.subscribe(channel, { recover: { latest: PAGE_EVENTS }, presence: true });
    this.#subscription = subscription;
    this.#joinedAt = undefined;
    this.#clear();
    this.#people.clear();
    this.#typing.clear();
    subscription.on("event", (event) => this.#received(event));
    subscription.on("presence", (roster) => this.#people.draw(roster, this.#me()));
    // Something was missed for good: what is shown may have holes, so it is read anew.
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

  #received(event: WireEvent): void {
    const { kind, user = "" } = event;
    if (kind === "signal" && user !== this.#me()) this.#typing.heard(user);
    if (kind === "erase") this.#list.erase((event.data as Erasure).offsets);
    if (kind !== "message") return;
    const item = this.#itemOf(event);
    this.#list.add(item);
    this.#typing.stopped(user);
    this.#drawBeginning();
    const { isMine, offset } = item.message;
    if (!isMine && event.erased !== true && offset > (this.#joinedAt ?? 0)) this.#announcer.announce(item.message.user, item.message.text);
  }

  #send(text: string): void {
    this.#list.add(this.#sending.send(this.#subscription?.channel ?? "", this.#me(), text));
    this.#typing.sent();
  }

  #tellTyping(): void {
    // A signal that does not get through is not worth a word.
    if (this.#typing.mayTell()) this.#subscription?.signal({ typing: true }).catch(() => {});
  }

  async #loadOlder(): Promise<void> {
    const subscription = this.#subscription;
    const offset = this.#list.oldest;
    if (subscription === undefined || this.#isLoading || this.#isComplete) return;
    this.#isLoading = true;
    try {
      const { value: page } = await subscription.history({ offset, limit: PAGE_EVENTS }).next();
      if (page && subscription === this.#subscription) {
        this.#list.addOlder(page.events.filter(({ kind }) => kind === "message").map((event) => this.#itemOf(event)));
        if (!page.more) this.#first = this.#list.oldest ?? 1;
      }
    } catch {
      // Scrolling again asks again; the banner tells about the connection.
      return;
    } finally {
      this.#isLoading = false;
    }
    this.#drawBeginning();
  }

  /** The event's item; if it is one's own, what stood for it meanwhile goes. */
  #itemOf(event: WireEvent): MessageItem {
    const message = messageOf(event, this.#me());
    const waiting = message.isMine ? this.#sending.placed(message.id) : undefined;
    if (waiting !== undefined) this.#list.remove(waiting);
    return new MessageItem(message);
  }

  #clear(): void {
    this.#first = 1;
    this.#list.clear();
    this.#list.say("");
    for (const item of this.#sending.in(this.#subscription?.channel ?? "")) this.#list.add(item);
  }

  get #isComplete(): boolean {
    return (this.#list.oldest ?? Infinity) <= this.#first;
  }

  #drawBeginning(): void {
    const { oldest } = this.#list;
    const room = roomOf(this.#subscription?.channel ?? "");
    if (oldest === undefined) this.#list.say(`Nothing was said in # ${room} yet. Say hello!`);
    else this.#list.say(this.#isComplete ? `This is the beginning of # ${room}.` : "");
    if (oldest !== undefined && this.#list.wantsOlder) void this.#loadOlder();
  }
}
