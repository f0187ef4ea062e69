// The dashboard in a browser, as people use it: CHROMIUM against daemons of this machine (daemons.mjs), of which the first is
// the one at HOME_URL where that is set.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test as nodeTest } from "node:test";
import { chromium } from "playwright-core";
import { coordinator, coordinatorOptions, Daemon, endAll, worker, workerOptions } from "./daemons.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SHOTS = process.env.SCREENSHOTS; // a folder for them; unset: none
const PAGES = ["", "plan", "speed", "models", "events", "chat"];
const DESKTOP = { width: 1280, height: 860 }, PHONE = { width: 390, height: 844 };
const MOST_PAGE_BYTES = 300_000, MOST_FIRST_PAINT_MS = 1000;

const test = (name, work) => nodeTest(name, { timeout: 120_000 }, work);

let browser, home;
const outside = [], complaints = [];

before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
  home = process.env.HOME_URL ? { url: process.env.HOME_URL } : await coordinator();
}, { timeout: 60_000 });
after(async () => {
  await browser?.close();
  await endAll();
});

// A page of a browser that has never been here. What it asks elsewhere and what it complains of is remembered.
async function open(url, { viewport = DESKTOP, colorScheme = "light", bypassCSP = false } = {}) {
  const context = await browser.newContext({ viewport, colorScheme, bypassCSP, deviceScaleFactor: viewport === PHONE ? 2 : 1 });
  const page = await context.newPage();
  page.setDefaultTimeout(45_000);
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) outside.push(request.url());
  });
  page.on("pageerror", (error) => complaints.push(String(error.stack)));
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) complaints.push(message.text());
  });
  await page.goto(url);
  await page.getByRole("heading", { level: 1 }).waitFor();
  return page;
}

const close = (page) => page.context().close();
const host = (page, name) => page.getByRole("article", { name: `Host ${name}` });

async function go(page, path) {
  await page.evaluate((hash) => (location.hash = hash), `#/${path}`);
  await page.locator(`nav a[href="#/${path}"][aria-current=page]`).waitFor();
}

async function say(page, text) {
  await page.getByRole("textbox", { name: "Message", exact: true }).fill(text);
  await page.keyboard.press("Enter");
}

// `fewest` tokens or more of the demo model, a request after the other.
async function generate(daemon, fewest) {
  for (let made = 0; made < fewest; ) {
    const answer = await fetch(`${daemon.url}v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "demo", prompt: "In the beginning God created the heaven", max_tokens: fewest - made, temperature: 0 }),
    });
    assert.equal(answer.status, 200);
    const { usage } = await answer.json();
    assert.ok(usage.completion_tokens > 0);
    made += usage.completion_tokens;
  }
}

// Until `shown` resolves: a plan tells its time per token after a dozen of its own, and another plan begins anew.
async function generateUntil(daemon, shown) {
  let waits = true;
  const generateOn = async () => {
    while (waits) await generate(daemon, 20);
  };
  await Promise.all([shown.finally(() => (waits = false)), generateOn()]);
}

async function shoot(page, name) {
  if (!SHOTS) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}/${name}.png` });
}

async function seriousFindings(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run());
  return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html).join(" ")}`);
}

test("the page is small, soon there, and all is well", async () => {
  const context = await browser.newContext({ viewport: DESKTOP });
  const page = await context.newPage();
  await page.goto(home.url);
  await page.getByText("All is well.").waitFor();
  const [bytes, paint] = await page.evaluate(() => [
    [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
      .filter(({ name }) => !/news|history/.test(name)).reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0),
    performance.getEntriesByName("first-contentful-paint")[0].startTime,
  ]);
  console.log(`page weight ${bytes} bytes, first contentful paint ${Math.round(paint)} ms`);
  assert.ok(bytes > 100_000 && bytes <= MOST_PAGE_BYTES, `${bytes} bytes`);
  assert.ok(paint <= MOST_FIRST_PAINT_MS, `${paint} ms`);
  await context.close();
});

test("an answer comes word by word and is stopped", async () => {
  const slow = await coordinator("slow", "cpu,threads=1,pace=50M");
  const page = await open(`${slow.url}#/chat`);
  await page.getByRole("option", { name: "demo" }).waitFor({ state: "attached" });
  await say(page, "In the beginning God created the heaven and the earth.");
  const answer = page.getByRole("article", { name: "Answer" });
  await answer.getByText(/\w+ \w+/).waitFor();
  const length = (await answer.innerText()).length;
  await page.waitForFunction((before) => document.querySelector(".message.assistant").innerText.length > before, length);
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText("stopped").waitFor();
  await page.getByText("The answer is complete").waitFor({ state: "attached" });
  await close(page);
  await slow.end();
});

test("a chat is answered, edited, and kept in the browser", async () => {
  const page = await open(`${home.url}#/chat`);
  await say(page, "In the beginning God created the heaven and the earth.");
  const answer = page.getByRole("article", { name: "Answer" });
  await page.getByText("tok/s").waitFor();
  assert.ok((await answer.innerText()).length > 40);

  await page.getByRole("button", { name: "Edit" }).click();
  await page.getByRole("textbox", { name: "Your message" }).fill("And God said");
  await page.getByRole("button", { name: "Send anew" }).click();
  await page.getByText("tok/s").waitFor();
  assert.equal(await page.getByRole("article", { name: "You" }).count(), 1);

  const text = await answer.innerText();
  await page.reload();
  await page.getByRole("article", { name: "You" }).getByText("And God said").waitFor();
  assert.equal(await answer.innerText(), text);
  await page.getByText("Kept in this browser (1)").click();
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByText("Ask something.").waitFor();
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage).filter((key) => key.startsWith("hearth.chat."))), []);
  await close(page);
});

// A page whose answers to a chat are this text.
async function openWithAnswer(text) {
  const page = await open(home.url);
  await page.route("**/v1/chat/completions", (route) => route.fulfill({
    contentType: "text/event-stream",
    body: `data: ${JSON.stringify({ choices: [{ delta: { content: text }, finish_reason: "stop" }] })}\n\ndata: [DONE]\n\n`,
  }));
  await go(page, "chat");
  await say(page, "Show me");
  return page;
}

test("markdown is shown, and nothing that a model writes becomes HTML", async () => {
  const page = await openWithAnswer([
    "# Title", "Some **bold** and `code`.", "", "- one", "- two", "", "| a | b |", "|---|---|", "| 1 | 2 |", "", "```js", "let x = 1 < 2;", "```", "",
    "<img src=x onerror=\"window.broken=1\"><script>window.broken=1</script>", "", "[bad](javascript:window.broken=1) [good](https://example.org/)",
    "![picture](https://example.org/a.png)",
  ].join("\n"));
  const answer = page.getByRole("article", { name: "Answer" });
  await answer.getByRole("heading", { name: "Title" }).waitFor();
  assert.equal(await answer.locator("strong").innerText(), "bold");
  assert.equal(await answer.locator("li").count(), 2);
  assert.equal(await answer.locator("td").count(), 2);
  assert.equal((await answer.locator("pre").innerText()).trim(), "let x = 1 < 2;");
  assert.equal(await answer.locator("img, script").count(), 0);
  assert.ok((await answer.innerText()).includes("<script>window.broken=1</script>"));
  const links = await answer.locator("a").evaluateAll((all) => all.map((link) => [link.href, link.rel]));
  assert.deepEqual(links.map(([href]) => href), ["https://example.org/", "https://example.org/a.png"]);
  assert.ok(links.every(([, rel]) => rel.includes("noopener") && rel.includes("noreferrer")));
  assert.equal(await page.evaluate(() => window.broken), undefined);
  await shoot(page, "markdown");
  await close(page);
});

test("text that is nested without end is shown all the same", async () => {
  const page = await openWithAnswer(`${">".repeat(20_000)} deep ${"[".repeat(5_000)}`);
  await page.getByRole("article", { name: "Answer" }).getByText("deep").waitFor();
  await page.getByRole("button", { name: "Again" }).waitFor();
  await close(page);
});

test("a host that joins and one that is lost are seen at once, with the plans that follow", async () => {
  const page = await open(home.url);
  const cellar = await worker("cellar", home);
  await host(page, "cellar").getByText("working").waitFor();
  await page.getByRole("region", { name: "Links" }).getByText("attic and cellar").waitFor();
  await host(page, "cellar").getByText("% of demo").waitFor();
  await go(page, "plan");
  await page.getByRole("region", { name: "Shares of devices" }).getByText("cellar/cpu").waitFor();
  await page.getByText("One token is expected to take").waitFor();
  await page.getByText("Made for").locator("..").getByText("latency", { exact: true }).waitFor();
  assert.ok((await page.locator("svg[role=img]").getAttribute("aria-label")).includes("cellar/cpu"));
  assert.ok((await page.locator("svg[role=img] rect").count()) >= 10);

  await cellar.stop("SIGKILL");
  await go(page, "");
  await host(page, "cellar").getByText("lost", { exact: true }).waitFor();
  await page.getByText("cellar is lost").waitFor();
  await shoot(page, "lost");
  await go(page, "events");
  const log = page.getByRole("log");
  await log.getByText("now without cellar, which is lost").waitFor();
  await log.getByText("now with cellar").waitFor();
  await page.getByRole("button", { name: "plans" }).click();
  assert.equal(await log.getByText("cellar is lost", { exact: false }).count(), 0);

  await cellar.restart(workerOptions(home));
  await page.getByRole("button", { name: "all" }).click();
  await log.getByText("cellar is back").waitFor();
  await go(page, "");
  await host(page, "cellar").getByText("% of demo").waitFor();
  await cellar.end();
  await host(page, "cellar").getByText("lost", { exact: true }).waitFor();
  await close(page);
});

test("a model is loaded and unloaded, and what fails says why", async () => {
  const page = await open(`${home.url}#/models`);
  await page.getByRole("article", { name: "Model demo" }).getByText("ready").waitFor();
  const load = async (path, name) => {
    await page.getByRole("textbox", { name: "File on" }).fill(path);
    await page.getByRole("textbox", { name: "Name" }).fill(name);
    await page.getByRole("button", { name: "Load", exact: true }).click();
  };
  await load("/nothing/here.gguf", "");
  await page.getByRole("alert").getByText("/nothing/here.gguf").waitFor();
  await load(process.env.MODEL, "<b>second</b> & co");
  const second = page.getByRole("article", { name: "Model <b>second</b> & co" });
  await second.getByText(/^(ready|failed)$/).waitFor();
  assert.match(await second.innerText(), /ready/);
  await second.getByRole("button", { name: "Unload" }).click();
  await page.getByRole("button", { name: "Unload it" }).click();
  await second.waitFor({ state: "detached" });
  await go(page, "events");
  await page.getByRole("log").getByText("<b>second</b> & co is unloaded").waitFor();
  await close(page);
});

test("figures over time are drawn and told", async () => {
  const page = await open(`${home.url}#/chat`);
  await say(page, "In the beginning God created the heaven and the earth.");
  await page.getByText("tok/s").waitFor();
  await go(page, "speed");
  const chart = (name) => page.getByRole("img", { name });
  // Lines of models that were unloaded stand beside those of this one.
  await generateUntil(home, chart(/^Time per token\. .*\bdemo measured: [\d.]+ ms last/).waitFor());
  await chart(/^Tokens per second\. .*\bdemo generated: [\d.]+ tok\/s last/).waitFor();
  await chart(/^Requests\. .*\bdemo answered: 0 /).waitFor();
  await page.getByRole("button", { name: "30 minutes" }).click();
  assert.equal(await page.locator("canvas").count() >= 4, true);
  await close(page);
});

test("thousands of events and a home of strange names keep the page whole", async () => {
  const page = await open(home.url);
  const names = ["<img src=x onerror=alert(1)>", "\u202eevil", "x".repeat(128), "' onload='"];
  const hosts = Array.from({ length: 64 }, (_, i) => ({
    name: names[i] ?? `host ${i}`, address: "", state: "HOST_STATE_LOST", coordinator: i === 0, detail: names[i % 4].repeat(20), last_sync_ms: "5000",
    cores: 4, memory_bytes: "1", memory_free_bytes: "1", version: names[0], devices: [], weights_fetched_bytes: "0", groups_from_cache: "0",
  }));
  const shares = hosts.map(({ name }) => ({
    host: name, device: names[1], weight_bytes: "1", neurons: Array(1000).fill("1"), neurons_computed: [], neurons_offered: [], bytes_touched: "0",
    round_trips: "0", wait_us: "0", head_groups: "0", output_runs: "0",
  }));
  const plans = [{ model: names[0], epoch: "1", active: true, expected_token_ms: 1, measured_token_ms: 1, objective: names[0], explanation: `${names[0]}/cpu\n`.repeat(99), layers: 1000, shares }];
  const state = { cluster: { hosts, links: [], transfers: [], plans }, models: { models: [] } };
  const events = Array.from({ length: 5000 }, (_, i) => ({ number: i + 1, time: 1e12, kind: names[i % 4], text: names[i % 4] }));
  const told = [["hello", { version: names[0], coordinator: true, admin: true }], ["state", state], ["events", events]];
  await page.route("**/dashboard/news", (route) => route.fulfill({
    contentType: "text/event-stream",
    body: told.map(([name, data]) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`).join(""),
  }));
  await page.reload();
  await page.getByRole("heading", { name: names[0] }).first().waitFor();
  for (const path of PAGES) {
    await go(page, path);
    assert.equal(await page.locator("main img, main script").count(), 0);
    const width = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(width <= 0, `${path} is ${width} pixels too wide`);
  }
  await go(page, "events");
  await page.waitForFunction(() => document.querySelectorAll(".events li").length === 500);
  await go(page, "plan");
  assert.ok(await page.locator("svg[role=img] g").count() <= 160);
  await close(page);
});

test("a daemon that goes away is told of, and found again", async () => {
  const other = await coordinator("brick");
  const page = await open(other.url);
  await page.getByText("All is well.").waitFor();
  const port = other.http;
  assert.equal(await other.stop(), 0);
  await page.getByText("hearthd does not answer").waitFor();
  assert.equal(await host(page, "brick").count(), 1);
  await other.restart(coordinatorOptions(port));
  await page.getByText("hearthd does not answer").waitFor({ state: "detached" });
  await page.getByText("All is well.").waitFor();
  await close(page);
  await other.end();
});

test("a model without a template is offered to continue the text", async () => {
  const page = await open(home.url);
  await page.route("**/v1/chat/completions", (route) => route.fulfill({
    status: 400, contentType: "application/json", body: JSON.stringify({ error: { message: "the model's file has no chat template" } }),
  }));
  await go(page, "chat");
  await say(page, "In the beginning");
  await page.getByRole("alert").getByText("no chat template").waitFor();
  await page.getByRole("button", { name: "Continue the text instead" }).click();
  await page.getByText("tok/s").waitFor();
  await close(page);
});

test("a worker's page shows its coordinator's home", async () => {
  const shed = await worker("shed", home, "127.0.0.1:0");
  const page = await open(shed.url);
  await host(page, "attic").getByText("working").waitFor();
  assert.equal(await page.getByRole("button", { name: "Add a machine" }).count(), 0);
  await go(page, "speed");
  await page.getByText("The coordinator keeps the figures").waitFor();
  await go(page, "chat");
  await say(page, "In the beginning");
  await page.getByText("tok/s").waitFor();
  await close(page);
  await shed.end();
});

test("where keys are asked for the page wants one, keeps it, and wants another once it is revoked", async () => {
  const locked = await Daemon.start("locked", [...coordinatorOptions(), "--http-behind-proxy"]);
  const page = await open(`${locked.url}#/chat`);
  const field = page.getByLabel("Key");
  const give = async (key) => {
    await field.fill(key);
    await page.getByRole("button", { name: "Open" }).click();
  };
  await field.waitFor();
  assert.deepEqual(await seriousFindings(await open(locked.url, { bypassCSP: true })), []);
  await shoot(page, "key");
  await give(`hearth-${"a".repeat(32)}`);
  await page.getByRole("alert").getByText("none of this home's").waitFor();
  await give(locked.run("key", "create", "--api", "anna"));
  await say(page, "In the beginning God created the heaven and the earth.");
  await page.getByText("tok/s").waitFor();
  await page.reload();
  await go(page, "");
  await host(page, "locked").getByText("working").waitFor();
  assert.equal(await page.getByRole("button", { name: "Add a machine" }).count(), 0);

  locked.run("key", "revoke", "anna");
  await page.getByRole("alert").getByText("was revoked").waitFor();
  await give(locked.run("key", "create", "--api", "berta", "--role", "admin"));
  await page.getByRole("button", { name: "Add a machine" }).waitFor();
  await close(page);
  await locked.end();
});

test("a machine is invited, joins, and is forgotten", async () => {
  const gate = await Daemon.start("gate", [...coordinatorOptions(), "--lan", "127.0.0.1:0"]);
  const page = await open(gate.url);
  await page.getByRole("button", { name: "Add a machine" }).click();
  await page.getByRole("button", { name: "Make a code" }).click();
  const command = await page.getByRole("dialog").locator("code").innerText();
  await page.getByRole("button", { name: "Close" }).click();
  const guest = await Daemon.start("guest", [...command.split(" ").slice(1), "--http", "off"]);
  await host(page, "guest").getByText("% of demo").waitFor();
  await host(page, "guest").getByRole("button", { name: "Forget" }).click();
  await page.getByRole("button", { name: "Forget it" }).click();
  await host(page, "guest").getByText("it was removed from the home").waitFor();
  await guest.end();
  await go(page, "events");
  await page.getByRole("log").getByText("guest is lost: it was removed from the home").waitFor();
  await close(page);
  await gate.end();
});

test("the keyboard alone does", async () => {
  const page = await open(home.url);
  const focus = (of) => page.evaluate((name) => document.activeElement[name], of);
  await page.getByRole("button", { name: "Add a machine" }).waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await focus("textContent"), "To the content");
  await page.keyboard.press("Enter");
  assert.equal(await focus("tagName"), "H1");
  await page.getByRole("button", { name: "Add a machine" }).press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  assert.ok(await page.evaluate(() => document.activeElement.closest("dialog") !== null));
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.equal(await focus("textContent"), "Add a machine");
  await close(page);
});

test("every page is for all: light and dark, desktop and phone, no serious findings of axe", async () => {
  const loft = await worker("loft", home);
  for (const [place, viewport] of [["desktop", DESKTOP], ["phone", PHONE]]) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await open(home.url, { viewport, colorScheme, bypassCSP: true });
      await host(page, "loft").getByText("% of demo").waitFor();
      await go(page, "chat");
      await say(page, "In the beginning God created the heaven and the earth.");
      await page.getByText("tok/s").waitFor();
      for (const path of PAGES) {
        await go(page, path);
        if (path === "speed") await page.locator("canvas").first().waitFor();
        assert.deepEqual(await seriousFindings(page), [], `${path || "home"}, ${place}, ${colorScheme}`);
        const width = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(width <= 0, `${path || "home"} is ${width} pixels too wide on a ${place}`);
        await shoot(page, `${path || "home"}-${place}-${colorScheme}`);
      }
      await close(page);
    }
  }
  await loft.end();
});

test("nothing was asked elsewhere, and no page complained", () => {
  assert.deepEqual(outside, []);
  assert.deepEqual(complaints, []);
});
