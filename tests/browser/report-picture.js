// Draws docs/capacity.md's pictures of a load tester's HTML report, in a light and in a dark theme.
//
//   node report-picture.js ../../target/capacity/day.html loadtest-report

import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { launchBrowser } from "./person.js";

const [report, name] = process.argv.slice(2);
if (!name) throw new Error("which report, and what shall its pictures be called? for example ../../target/capacity/day.html loadtest-report");
const docs = fileURLToPath(new URL("../../docs/", import.meta.url));
const browser = await launchBrowser();
try {
  for (const [colorScheme, file] of [["light", `${name}.png`], ["dark", `${name}-dark.png`]]) {
    const page = await browser.newPage({ viewport: { width: 1080, height: 900 }, colorScheme });
    await page.goto(pathToFileURL(resolve(report)).href);
    await page.screenshot({ path: `${docs}${file}`, fullPage: true });
    await page.close();
  }
} finally {
  await browser.close();
}
