// The real server in development mode, for tests. PARLOR_BIN names the binary.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client, type ClientOptions } from "../../src/index.js";

const BINARY = process.env["PARLOR_BIN"] ?? fileURLToPath(new URL("../../../../../target/debug/parlor", import.meta.url));

export class Parlor {
  readonly #directory = mkdtempSync(join(tmpdir(), "parlor-sdk-"));
  readonly #clients: Client[] = [];
  #port = 0;
  #process: ChildProcess | undefined;

  static async start(): Promise<Parlor> {
    const parlor = new Parlor();
    parlor.#port = await freePort();
    await parlor.start();
    return parlor;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async start(): Promise<void> {
    const child = spawn(BINARY, ["dev", "--port", String(this.#port), "--data", this.#directory], { stdio: ["ignore", "ignore", "pipe"] });
    this.#process = child;
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
    await until("the server is ready", async () => {
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}: ${errors}`);
      const answer = await fetch(`${this.url}/readyz`).catch(() => undefined);
      return answer !== undefined && answer.status !== 503;
    });
  }

  /** kill -9 */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  /** A client of this user that is on its way to being connected. */
  client(user: string, options: Partial<ClientOptions> = {}): Client {
    const client = new Client({ url: `${this.url.replace("http", "ws")}/v1/socket`, user, ...options });
    this.#clients.push(client);
    client.connect();
    return client;
  }

  /** A token for this user, as a backend gets one. */
  async token(user: string, expiresInSeconds: number): Promise<string> {
    const caps = [{ channels: ["*"], allow: ["subscribe", "publish", "signal", "history", "presence"] }];
    const body = JSON.stringify({ user, caps, expires_in_s: expiresInSeconds });
    const answer = await fetch(`${this.url}/v1/tokens`, { method: "POST", body, headers: { "Content-Type": "application/json" } });
    const { token } = (await answer.json()) as { token?: string };
    if (token === undefined) throw new Error(`no token: ${answer.status}`);
    return token;
  }

  async remove(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Looks again and again until the condition holds. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function freePort(): Promise<number> {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  listener.close();
  await once(listener, "close");
  return port;
}
