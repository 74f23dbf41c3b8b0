// One's own messages on their way: sent under one id until the server gives them a place, however often that takes.

import { randomId, type Client, type ParlorError } from "../../typescript/src/index.js";
import { MessageItem } from "./message.js";

/** After this the person should decide: a retry keeps the id, so nothing is ever said twice. */
const SEND_TIMEOUT_MS = 30_000;

export class Sending {
  readonly #client: Client;
  /** By id. They outlive a change of room. */
  readonly #waiting = new Map<string, { readonly channel: string; readonly item: MessageItem }>();

  constructor(client: Client) {
    this.#client = client;
  }

  send(channel: string, user: string, text: string): MessageItem {
    const id = randomId();
    const item = new MessageItem({ offset: Infinity, id, user, text, isCode: false, date: new Date(), isMine: true });
    this.#waiting.set(id, { channel, item });
    this.#publish(channel, id, item);
    return item;
  }

  /** The message has its place; returns what stood for it. */
  placed(id: string | undefined): MessageItem | undefined {
    const { item } = this.#waiting.get(id ?? "") ?? {};
    this.#waiting.delete(id ?? "");
    return item;
  }

  in(channel: string): MessageItem[] {
    return [...this.#waiting.values()].filter((each) => each.channel === channel).map(({ item }) => item);
  }

  #publish(channel: string, id: string, item: MessageItem): void {
    item.pending();
    this.#client.publish(channel, { text: item.message.text }, { id, timeoutMs: SEND_TIMEOUT_MS }).then(
      () => item.sent(),
      (error: ParlorError) => item.failed(error.message, () => this.#publish(channel, id, item)),
    );
  }
}
