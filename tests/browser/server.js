// The real server in development mode, on a port and a data directory that survive its deaths.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { until } from "./until.js";

const BINARY = process.env.PARLOR_BIN ?? fileURLToPath(new URL("../../target/debug/parlor", import.meta.url));

export class Server {
  #directory;
  #port;
  #process;
  #output = "";

  static async start() {
    const server = new Server();
    server.#directory = await mkdtemp(join(tmpdir(), "parlor-browser-"));
    server.#port = await freePort();
    await server.start();
    return server;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** What it printed, for the report of a failure. */
  get output() {
    return this.#output.slice(-4_000);
  }

  async start() {
    this.#process = spawn(BINARY, ["dev", "--port", String(this.#port), "--data", this.#directory], { stdio: ["ignore", "pipe", "pipe"] });
    const keep = (chunk) => (this.#output += chunk);
    this.#process.stdout.on("data", keep);
    this.#process.stderr.on("data", keep);
    await until("the server is ready", async () => {
      if (this.#process.exitCode !== null) throw new Error(`the server ended with ${this.#process.exitCode}: ${this.output}`);
      const answer = await fetch(`${this.url}/readyz`).catch(() => undefined);
      return answer !== undefined && answer.status !== 503;
    });
  }

  /** Holds it still, so that nothing sent once this has resolved can be answered. */
  async freeze() {
    this.#process.kill("SIGSTOP");
    // The signal stops threads on other cores a moment later.
    await until("every thread stands still", () => threadStates(this.#process.pid).every((state) => state === "T"));
  }

  /** kill -9 */
  async kill() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await ended;
  }

  async remove() {
    await this.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** A letter for each thread, as the kernel gives them (Linux). */
function threadStates(pid) {
  const tasks = `/proc/${pid}/task`;
  return readdirSync(tasks).map((thread) => readFileSync(`${tasks}/${thread}/stat`, "utf8").replace(/^.*\) /s, "")[0]);
}

async function freePort() {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  await once(listener, "close");
  return port;
}
