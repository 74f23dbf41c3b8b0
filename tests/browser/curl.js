// A backend that speaks HTTP with curl, as the README's does.

import { execFile } from "node:child_process";

const PAGE = 1_000;

export class Backend {
  #server;

  constructor(server) {
    this.#server = server;
  }

  /** The reply, or undefined when none came. */
  async publish(channel, id, text) {
    const body = JSON.stringify({ channel, id, data: { text } });
    return curl("-H", "Content-Type: application/json", "-d", body, `${this.#server.url}/v1/publish`);
  }

  /** Publishes under one id until the server acknowledged it. */
  async publishUntilKept(channel, id, text) {
    for (;;) {
      const reply = await this.publish(channel, id, text);
      if (reply !== undefined) return reply;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** A token for this user. */
  async token(user) {
    const caps = [{ channels: ["*"], allow: ["subscribe", "publish", "signal", "history", "presence"] }];
    const body = JSON.stringify({ user, caps });
    return (await curl("-H", "Content-Type: application/json", "-d", body, `${this.#server.url}/v1/tokens`)).token;
  }

  /** The whole log, oldest first, with its epoch. */
  async history(channel) {
    const events = [];
    for (;;) {
      const query = new URLSearchParams({ channel, direction: "forward", limit: String(PAGE) });
      if (events.length > 0) query.set("offset", events.at(-1).offset);
      const page = await curl(`${this.#server.url}/v1/history?${query}`);
      if (page === undefined) throw new Error("unable to read the history");
      events.push(...page.events);
      if (!page.more) return { events, epoch: page.epoch };
    }
  }
}

function curl(...parameters) {
  const always = ["--silent", "--show-error", "--fail-with-body", "--max-time", "10"];
  return new Promise((resolve, reject) => {
    execFile("curl", [...always, ...parameters], { maxBuffer: 64 << 20 }, (error, stdout) => {
      // 22 is an answer of 400 and more: a mistake of this test, unless the server asks to try again.
      if (error?.code === 22 && !/"code":\s*1\d{3}/.test(stdout)) reject(new Error(`curl: ${stdout}`));
      else resolve(error ? undefined : JSON.parse(stdout));
    });
  });
}
