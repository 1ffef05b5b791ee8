// The setup page: what the person who runs the DNS of a custom domain sees, in each state of the domain.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { API, accessibilityFaults, agency, launch, open } from "./world.js";

const ZONE = "acme.test. NS ns-1.awsdns-01.com.\n";
let browser, call;

before(async () => {
  browser = await launch();
  call = await agency("desk");
});
after(() => browser?.close());

async function until(condition) {
  const deadline = Date.now() + 15_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, String(condition));
    await new Promise((done) => setTimeout(done, 200));
  }
}

// Replaces the records of the zone. `cargo local` reads the file again when it changes.
let serial = 0;
async function zone(records) {
  const marker = `zone-${++serial}`;
  writeFileSync(process.env.ZONE, `${ZONE}marker.acme.test. TXT "${marker}"\n${records}`);
  const resolver = new Resolver();
  resolver.setServers(["127.0.0.1:5300"]);
  await until(async () => String(await resolver.resolveTxt("marker.acme.test").catch(() => "")) === marker);
}

// A domain, and the address of its setup page.
async function domain(hostname) {
  const created = await call("POST", "/agency/portal-domains", { customDomain: hostname });
  const { url } = await call("POST", `/agency/portal-domains/${created.id}/setup-link`, {});
  return { ...created, url };
}

const record = (domain, type) => domain.records.find((record) => record.type === type);

// Opens the page with these options, and checks what holds in each state.
async function visit(address, options = {}) {
  const page = await open(browser, { javaScriptEnabled: true, ...options });
  await page.goto(address);
  assert.deepEqual(await accessibilityFaults(page), []);
  for (const width of [320, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    const { scrollWidth } = await page.evaluate(() => document.documentElement);
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `${width} px: ${scrollWidth}`);
  }
  assert.deepEqual([page.blocked, page.failures], [[], []]);
  return page;
}

async function states(hostname, check) {
  for (const colorScheme of ["light", "dark"])
    for (const locale of ["en-GB", "de-DE"]) {
      const page = await visit(hostname, { colorScheme, locale });
      await check(page, locale);
      const picture = `setup-${test.state}-${colorScheme}-${locale.slice(0, 2)}.png`;
      await page.screenshot({ path: `${process.env.PICTURES}/${picture}`, fullPage: true });
      await page.context().close();
    }
}

test("a pending domain", async () => {
  await zone("");
  test.state = "pending";
  const { url, records } = await domain("pending.acme.test");
  await states(url, async (page, locale) => {
    assert.equal(await page.locator("html").getAttribute("lang"), locale.slice(0, 2));
    const text = await page.locator("main").innerText();
    for (const { host, name, value } of records) for (const part of [host, name, value]) assert.ok(text.includes(part), part);
  });
});

test("a wrong record, then the right one, by the keyboard alone", async () => {
  const wrong = await domain("portal.acme.test");
  const txt = record(wrong, "TXT");
  await zone(`${txt.name}. TXT "agency-verification=00000000000000000000000000000000"\n`);
  let page = await visit(wrong.url);
  const check = async () => {
    for (let presses = 0; presses < 20; presses++) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(() => document.activeElement.matches("form button"))) break;
    }
    await Promise.all([page.waitForURL(wrong.url), page.waitForEvent("load"), page.keyboard.press("Enter")]);
  };
  await check();
  assert.match(await page.locator("main").innerText(), /agency-verification=0{32}/);
  test.state = "wrong";
  await states(wrong.url, async () => {});
  await zone(`${txt.name}. TXT "${txt.value}"\n${wrong.hostname}. CNAME ${record(wrong, "CNAME").value}.\n`);
  // A domain is checked once in 5 s. Before that, the form leads back to the page.
  await until(async () => {
    await check();
    return (await (await fetch(wrong.url)).json()).status === "verified";
  });
  test.state = "verified";
  await states(wrong.url, async () => {});
});

test("an expired domain", async () => {
  await zone("");
  const { url } = await domain("expired.acme.test");
  execFileSync("cargo", ["local", "reverify", "--in", "25"]);
  execFileSync("cargo", ["local", "reverify", "--in", String(8 * 24)]);
  assert.equal((await (await fetch(url)).json()).status, "failed");
  test.state = "expired";
  await states(url, async () => {});
});

test("the page prints without buttons and links, and works without scripts", async () => {
  const { url } = await domain("print.acme.test");
  const page = await open(browser, { javaScriptEnabled: false });
  await page.goto(url);
  assert.ok(await page.locator("form button").isVisible());
  await page.emulateMedia({ media: "print" });
  assert.ok(!(await page.locator("form button").isVisible()));
  assert.ok(await page.getByText("agency-verification=").first().isVisible());
});

test("the records as a zone file", async () => {
  const { url, records } = await domain("zone.acme.test");
  const zone = await (await fetch(`${url}/records?format=zone`)).text();
  for (const { name, value } of records) assert.ok(zone.includes(`${name}. 300 IN`) && zone.includes(value), zone);
  assert.equal((await fetch(`${API}/portal/setup/${"A".repeat(43)}`)).status, 404);
});
