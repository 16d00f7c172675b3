// First paint of each page on the loopback, in a real browser: median of nine, asserted below 100 ms.
//   cd tests/web && npm ci && INFERIUM_BINARY=../../target/release/inferium node ../../bench/pages.mjs
import { startBrowser, startNetwork } from "../tests/web/network.mjs";

const LIMIT_MS = 100;
const RUNS = 9;
const PAGES = ["/", "/studios", "/playground", "/explorer", "/explorer/blocks", "/leaderboard", "/governance", "/wallet"];

const network = await startNetwork("--engine", "mock");
const browser = await startBrowser();
let slow = 0;
try {
  const page = await browser.newPage();
  // The browser itself starts once.
  await page.goto(network.origin);
  for (const path of PAGES) {
    const times = [];
    for (let run = 0; run < RUNS; run += 1) {
      await page.goto(network.origin + path);
      times.push(await page.evaluate(() => new Promise((resolve) => {
        new PerformanceObserver((list) => resolve(list.getEntriesByName("first-contentful-paint")[0]?.startTime ?? list.getEntries()[0].startTime)).observe({ type: "paint", buffered: true });
      })));
    }
    const median = times.sort((left, right) => left - right)[Math.floor(RUNS / 2)];
    console.log(`${path.padEnd(20)} ${median.toFixed(0)} ms`);
    if (median >= LIMIT_MS) slow += 1;
  }
} finally {
  await browser.close();
  await network.stop();
}
if (slow > 0) throw new Error(`${slow} pages paint later than ${LIMIT_MS} ms`);
