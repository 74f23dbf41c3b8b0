// Messages, names and rooms that try to become markup or script stay text, and the page's policy allows nothing else.

import assert from "node:assert/strict";
import { Backend } from "./curl.js";
import { launchBrowser, Person } from "./person.js";
import { Server } from "./server.js";

const HOSTILE = [
  `<img src=x onerror="alert('img')">`,
  `<script>alert('script')</script>`,
  `<svg/onload=alert('svg')>`,
  `"><iframe srcdoc="<script>alert('frame')</script>"></iframe>`,
  `<a href="javascript:alert('link')">look</a>`,
  `javascript:alert('scheme')`,
  `https://example.com/"onmouseover="alert('attribute')`,
  `{{constructor.constructor('alert(1)')()}} \${alert(1)}`,
  `\u202Eright to left\u202C \u0000 \uD800 lone`,
  `<style>body{display:none}</style>`,
];

const server = await Server.start();
const browser = await launchBrowser();
try {
  const backend = new Backend(server);
  const name = `<img src=x onerror=alert('name')>`;
  const ann = await Person.arrive(browser, name, `${server.url}/#hostile`);
  for (const [index, text] of HOSTILE.entries()) {
    await backend.publishUntilKept("room:hostile", `h${index}`, text.toWellFormed?.() ?? text.replace("\uD800", "\uFFFD"));
  }
  await ann.say(HOSTILE[0]);
  await ann.page.waitForSelector(`[data-offset="${HOSTILE.length + 1}"]`);
  await ann.page.hover("#messages > li:nth-child(7) .bubble");
  const shown = await ann.read();
  assert.equal(shown[0].text, HOSTILE[0]);
  const made = await ann.page.$$eval("img, script:not([src]), svg, iframe, style, #messages [href^='javascript'], [onerror], [onmouseover]", (all) => all.map((each) => each.outerHTML));
  assert.deepEqual(made, [], "no markup came of a message");
  assert.ok((await ann.page.textContent("#people")).includes(name));

  await checkPolicy(ann);
  assert.deepEqual(ann.faults.filter((fault) => !fault.includes("Content Security Policy")), []);
  console.log(`${HOSTILE.length} hostile texts stayed text; the policy refused inline script, eval and foreign requests.`);
} finally {
  await browser.close();
  await server.remove();
}

/** Even markup that got in would be powerless. */
async function checkPolicy({ page }) {
  const response = await page.request.get(server.url);
  const policy = response.headers()["content-security-policy"];
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]) {
    assert.ok(policy?.includes(part), `the policy has ${part}`);
  }
  const outcome = await page.evaluate(async () => {
    const script = document.createElement("script");
    script.textContent = "window.wasInlined = true";
    document.body.append(script);
    const foreign = await fetch("http://127.0.0.2:9/").then(() => "reached", () => "refused");
    return { wasInlined: window.wasInlined === true, foreign };
  });
  assert.deepEqual(outcome, { wasInlined: false, foreign: "refused" });
}
