// What the demo page promises to the person before it: history, keyboard, screen reader, rooms, failed sends.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Backend } from "./curl.js";
import { launchBrowser, Person } from "./person.js";
import { Server } from "./server.js";
import { until } from "./until.js";

let server;
let browser;
let backend;
before(async () => {
  server = await Server.start();
  browser = await launchBrowser();
  backend = new Backend(server);
});
after(async () => {
  await browser.close();
  await server.remove();
});

function arrive(name, room, options) {
  return Person.arrive(browser, name, `${server.url}/#${room}`, options);
}

/** Publishes "1", "2" and so on from a backend. */
async function fill(room, count) {
  for (let number = 1; number <= count; number++) await backend.publishUntilKept(`room:${room}`, `fill-${number}`, String(number));
}

async function offsets(person) {
  return (await person.read()).map(({ offset }) => offset);
}

test("older messages come when one scrolls up, and what one reads stays where it is", async () => {
  await fill("scroll", 130);
  const ann = await arrive("Ann", "scroll", { viewport: { width: 390, height: 700 } });
  await ann.page.waitForSelector("[data-offset='130']");
  const before = (await offsets(ann))[0];
  const seam = `[data-offset='${before}'] .bubble`;
  await ann.page.locator("#scroller").evaluate((scroller) => (scroller.scrollTop = 100));
  const place = (await ann.page.locator(seam).boundingBox()).y;
  await until("older ones came", async () => (await offsets(ann))[0] < before);
  // The date above the seam moves up with the older ones; a line's height is the tolerance.
  assert.ok(Math.abs((await ann.page.locator(seam).boundingBox()).y - place) < 60);
  await until("the beginning is reached", async () => {
    await ann.page.locator("#scroller").evaluate((scroller) => (scroller.scrollTop = 0));
    return (await ann.page.textContent("#beginning")).includes("beginning of # scroll");
  });
  assert.deepEqual(await offsets(ann), Array.from({ length: 130 }, (_, index) => index + 1));
});

test("a new message does not move one who reads further up; a button tells of it", async () => {
  await fill("jump", 40);
  const ann = await arrive("Ann", "jump", { viewport: { width: 390, height: 600 } });
  await ann.page.waitForSelector("[data-offset='40']");
  await ann.page.locator("#scroller").evaluate((scroller) => (scroller.scrollTop = 400));
  await ann.page.waitForSelector("#jump:visible");
  await backend.publishUntilKept("room:jump", "new", "news");
  await until("the button counts it", async () => (await ann.page.textContent("#jump")).includes("1 new"));
  assert.equal(await ann.page.locator("#scroller").evaluate((scroller) => scroller.scrollTop), 400);
  await ann.page.click("#jump");
  await until("it is in view", () => ann.page.locator("[data-offset='41']").isVisible());
  await ann.page.waitForSelector("#jump", { state: "hidden" });
});

test("Enter sends, Shift+Enter makes a line, and an input method's Enter is its own", async () => {
  const ann = await arrive("Ann", "keys");
  await ann.page.fill("#text", "one");
  await ann.page.press("#text", "Shift+Enter");
  await ann.page.keyboard.type("two");
  await ann.page.dispatchEvent("#text", "keydown", { key: "Enter", isComposing: true });
  assert.equal(await ann.page.inputValue("#text"), "one\ntwo");
  await ann.page.press("#text", "Enter");
  await ann.waitFor(["one\ntwo"]);
  assert.equal(await ann.page.inputValue("#text"), "");
});

test("arrow keys walk through the messages, Enter reaches a link, Escape comes back", async () => {
  const ann = await arrive("Ann", "walk");
  for (const text of ["first", "look: https://example.com/x", "last"]) await ann.say(text);
  await ann.waitFor(["first", "look: https://example.com/x", "last"]);
  const focused = () => ann.page.evaluate(() => document.activeElement.querySelector?.(".bubble")?.textContent ?? document.activeElement.textContent);
  await ann.page.locator("#messages article[tabindex='0']").focus();
  assert.equal(await focused(), "last");
  await ann.page.keyboard.press("ArrowUp");
  await ann.page.keyboard.press("Enter");
  assert.equal(await focused(), "https://example.com/x");
  await ann.page.keyboard.press("Escape");
  await ann.page.keyboard.press("Home");
  assert.equal(await focused(), "first");
  await ann.page.keyboard.press("Escape");
  assert.equal(await ann.page.evaluate(() => document.activeElement.id), "text");
  assert.equal(await ann.page.locator("#messages [tabindex='0']").count(), 1, "the list is one Tab stop");
});

test("new messages are read out, history is not, and typing never is", async () => {
  await fill("aloud", 5);
  const ann = await arrive("Ann", "aloud");
  await ann.page.waitForSelector("[data-offset='5']");
  const bob = await arrive("Bob", "aloud");
  await bob.waitForPeople(2);
  await bob.page.locator("#text").pressSequentially("hel");
  await until("ann sees bob typing", async () => (await ann.page.textContent("#typing")) === "Bob is typing…");
  await bob.say("hello there");
  const spoken = ann.page.locator("[role=log] p");
  await until("it is read out", async () => (await spoken.allTextContents()).at(-1) === "Bob: hello there");
  assert.equal(await spoken.count(), 1, "the history is not read out");
  assert.equal(await ann.page.getAttribute("#typing", "aria-hidden"), "true");
  assert.equal(await ann.page.textContent("#typing"), "");
});

test("a room is an address, and a message on its way outlives a visit elsewhere", async () => {
  const ann = await arrive("Ann", "one");
  await ann.say("in one");
  await ann.waitFor(["in one"]);
  await ann.page.fill("#room-name", "two");
  await ann.page.press("#room-name", "Enter");
  await until("the title says so", async () => (await ann.page.title()).startsWith("# two"));
  await ann.waitFor([]);
  await ann.say("in two");
  await ann.page.goBack();
  await ann.waitFor(["in one"]);
  await ann.page.click("#rooms >> text=two");
  await ann.waitFor(["in two"]);
});

test("what cannot be sent says so, and a retry sends it once", async () => {
  const ann = await arrive("Ann", "retry");
  await ann.waitForPeople(1);
  // Too large for the server, so it fails at once instead of after the time for sending.
  await ann.say("x".repeat(40_000));
  await ann.page.waitForSelector(".failed");
  assert.match(await ann.page.textContent(".failed .fate"), /^Not sent: .*Retry$/s);
  await ann.page.click(".failed .fate button");
  await ann.page.waitForSelector(".failed");
  assert.equal((await ann.read()).length, 1);
  await ann.say("small");
  await ann.page.waitForSelector("[data-offset='1']");
});

test("a token in the address says who one is, and leaves the address at once", async () => {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${server.url}/#token&token=${await backend.token("tom")}`);
  await until("tom is there", async () => (await page.textContent("#people")).includes("tom"));
  assert.equal(await page.textContent("#me"), "tom");
  assert.equal(new URL(page.url()).hash, "#token");
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes("token"))), []);
});

test("a refused token is told", async () => {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${server.url}/#lobby&token=not-a-token`);
  await until("the banner tells of it", async () => /^Disconnected: .*refused/.test(await page.textContent("#banner")));
});

test("it names its parts and fits a narrow phone", async () => {
  const ann = await arrive("Ann", "narrow", { viewport: { width: 320, height: 560 } });
  await ann.say(`${"long".repeat(60)} https://example.com/${"path".repeat(40)}`);
  await ann.page.waitForSelector("[data-offset='1']");
  assert.ok(await ann.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth && document.querySelector("#scroller").scrollWidth <= document.querySelector("#scroller").clientWidth));
  await ann.page.click(".menu");
  await ann.page.waitForSelector("#people li:visible");
  await ann.page.keyboard.press("Escape");
  await ann.page.waitForSelector("#panel", { state: "hidden" });
  assert.equal(await ann.page.locator("main:visible h1").count(), 1);
  assert.equal(await ann.page.getAttribute("#banner", "role"), "status");
  assert.equal(await ann.page.locator("section[aria-labelledby=room-title]").count(), 1);
  for (const control of await ann.page.locator("button:visible, input:visible, textarea:visible").all()) {
    const { height, width } = await control.boundingBox();
    assert.ok(height >= 24 && width >= 24, "touch targets are at least 24 px");
  }
  assert.deepEqual(ann.faults, []);
});
