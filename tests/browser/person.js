// A person at a page of the demo: types into it, reads it, and remembers every event that its socket brought.

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { until } from "./until.js";

const CHROMIUM = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

export function launchBrowser() {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
}

export class Person {
  /** Every logged event that arrived on the socket, in the order of arrival. */
  received = [];
  /** What must not happen on a page: errors, dialogs, refused scripts. */
  faults = [];
  page;
  name;

  static async arrive(browser, name, url, options = {}) {
    const person = new Person();
    person.name = name;
    const context = await browser.newContext(options);
    person.page = await context.newPage();
    person.#watch();
    await person.page.goto(url);
    await person.page.fill("#name", name);
    await person.page.keyboard.press("Enter");
    await person.page.waitForSelector("#chat:visible");
    return person;
  }

  /** Types a message and sends it with Enter. */
  async say(text) {
    await this.page.fill("#text", text);
    await this.page.press("#text", "Enter");
  }

  /** Sends all of these as fast as a page can. */
  async sayAtOnce(texts) {
    await this.page.evaluate((lines) => {
      for (const line of lines) {
        document.querySelector("#text").value = line;
        document.querySelector("#composer").requestSubmit();
      }
    }, texts);
  }

  /** The messages as they stand on the page, from top to bottom. */
  read() {
    return this.page.$$eval("#messages > li", (items) =>
      items.map((item) => ({
        offset: item.dataset.offset === undefined ? undefined : Number(item.dataset.offset),
        id: item.dataset.id,
        text: item.querySelector(".bubble").textContent,
        isMine: item.querySelector(".mine") !== null,
        // Without a place yet, but acknowledged, is kept as well.
        isKept: item.querySelector(".pending, .failed") === null,
      })),
    );
  }

  /** Waits until the page shows exactly these texts in some order, all with their places. */
  async waitFor(texts) {
    const wanted = [...texts].sort().join("\n");
    try {
      await until(`${this.name} sees ${texts.length} messages`, async () => {
        const shown = await this.read();
        return shown.every(({ offset }) => offset !== undefined) && shown.map(({ text }) => text).sort().join("\n") === wanted;
      });
    } catch (error) {
      const shown = (await this.read()).map(({ offset, text, isKept }) => `${offset} ${text} ${isKept}`);
      throw new Error(`${error.message}; ${this.name}'s page shows:\n${shown.join("\n")}\n${this.faults.join("\n")}`);
    }
  }

  /** Waits until the banner says something like this. */
  waitForBanner(pattern) {
    return until(`${this.name}'s banner says ${pattern}`, async () => pattern.test(await this.page.textContent("#banner")));
  }

  waitForPeople(count) {
    return until(`${this.name} sees ${count} people`, async () => (await this.page.locator("#people li").count()) === count);
  }

  #watch() {
    this.page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => this.#receive(String(payload))));
    this.page.on("pageerror", (error) => this.faults.push(`error: ${error.message}`));
    this.page.on("dialog", (dialog) => {
      this.faults.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    this.page.on("console", (message) => {
      // A dead server is part of the test, and Chromium writes that it cannot be reached.
      if (message.type() === "error" && !/ERR_CONNECTION|WebSocket connection/.test(message.text())) this.faults.push(`console: ${message.text()}`);
    });
  }

  #receive(frame) {
    for (const { event } of [JSON.parse(frame)].flat()) if (event?.offset !== undefined) this.received.push(event);
  }
}
