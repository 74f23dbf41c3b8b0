// Draws the README's picture: two people talk. Writes docs/demo.png, and docs/demo-phone.png of a phone's width.

import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Backend } from "./curl.js";
import { launchBrowser, Person } from "./person.js";
import { Server } from "./server.js";

const docs = fileURLToPath(new URL("../../docs/", import.meta.url));
const server = await Server.start();
const browser = await launchBrowser();
try {
  await mkdir(docs, { recursive: true });
  const backend = new Backend(server);
  const mira = await Person.arrive(browser, "Mira", `${server.url}/#launch`, { viewport: { width: 1080, height: 740 }, deviceScaleFactor: 2 });
  const jonas = await Person.arrive(browser, "Jonas", `${server.url}/#launch`, { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, colorScheme: "dark" });
  const lines = [];
  const say = async (person, text) => {
    await person.say(text);
    lines.push(text);
    for (const each of [mira, jonas]) await each.waitFor(lines);
  };
  await say(mira, "Morning! Did the new build go through?");
  await say(jonas, "Yes, about an hour ago. It's on staging: https://staging.example.com/builds/42");
  const report = "Build 42 passed all 318 tests.";
  await backend.publishUntilKept("room:launch", "report", report);
  lines.push(report);
  for (const each of [mira, jonas]) await each.waitFor(lines);
  await say(mira, "Looks good to me 🎉");
  await say(mira, "Shall we ship it after lunch?");
  await server.kill();
  await server.start();
  await say(jonas, "By the way, I just killed the server and started it again. Did you notice?");
  for (const each of [mira, jonas]) await each.waitForBanner(/^$/);
  await say(mira, "Not a word lost. Two o'clock, then!");
  await jonas.page.locator("#text").pressSequentially("See you");
  await mira.page.waitForFunction(() => document.querySelector("#typing").textContent !== "");
  for (const [person, file] of [[mira, "demo.png"], [jonas, "demo-phone.png"]]) {
    // Joins and the way up of a bubble are over.
    await person.waitForPeople(2);
    await person.page.evaluate(() => Promise.all(document.getAnimations().map((animation) => animation.finished)));
    await person.page.screenshot({ path: `${docs}${file}`, caret: "hide" });
  }
} finally {
  await browser.close();
  await server.remove();
}
