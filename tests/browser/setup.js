// The setup page: what the person who runs the DNS of a custom domain sees, in each state of the domain.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { createServer } from "node:tls";
import { API, accessibilityFaults, agency, assertPicture, launch, open, webp } from "./world.js";

const NAME_SERVERS = `acme.test. NS ns-1.awsdns-01.com.
acme.test. NS ns-2.awsdns-02.net.
ns-2.awsdns-02.net. A 127.0.0.2
`;
const WIDTHS = [1280, 320];
const UNKNOWN = `${API}/portal/setup/${"A".repeat(43)}`;
let browser, call, edge;
// Dark pictures of narrow pages, by the state of the domain.
const narrow = [];

before(async () => {
  browser = await launch();
  call = await agency("desk");
  // The edge has a certificate for portal.acme.test alone.
  const [cert, key] = [readFileSync(process.env.EDGE_CERTIFICATE), readFileSync(process.env.EDGE_KEY)];
  edge = createServer({ cert, key }, (socket) => socket.on("error", () => {}).end());
  await new Promise((listens) => edge.listen(process.env.EDGE_PORT, "127.0.0.1", listens));
});
after(async () => {
  edge?.close();
  await browser?.close();
});

async function until(condition) {
  const deadline = Date.now() + 15_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, String(condition));
    await new Promise((done) => setTimeout(done, 200));
  }
}

// Replaces the records of the zone, those of both name servers and those of the second one alone. `cargo local` reads the file again
// when it changes.
let serial = 0;
async function zone(records = "", ofTheSecond = "") {
  const marker = `zone-${++serial}`;
  const marked = `${NAME_SERVERS}marker.acme.test. TXT "${marker}"\n${records}`;
  writeFileSync(process.env.ZONE, `${marked}$SERVER 127.0.0.2\n${ofTheSecond}`);
  const resolver = new Resolver();
  resolver.setServers(["127.0.0.1:5300"]);
  await until(async () => String(await resolver.resolveTxt("marker.acme.test").catch(() => "")) === marker);
}

// A new domain, its records, and the address of its setup page.
async function domain(hostname) {
  return withLink(await call("POST", "/agency/portal-domains", { customDomain: hostname }));
}

async function withLink({ id, records }) {
  const { url } = await call("POST", `/agency/portal-domains/${id}/setup-link`, {});
  const [txt, cname] = records;
  const lines = `${txt.name}. TXT "${txt.value}"\n${cname.name}. CNAME ${cname.value}.\n`;
  return { url, records, txt, cname, lines };
}

// Checks the domain now. It is checked once in 5 s.
async function check(url) {
  let response;
  await until(async () => (response = await fetch(`${url}/verify`, { method: "POST" })).status !== 429);
  assert.equal(response.status, 200);
  return response.json();
}

// Opens a page, and checks what holds in each state.
async function visit(address, options = {}) {
  const page = await open(browser, options);
  await page.goto(address);
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `${width} px`);
    assert.deepEqual(await accessibilityFaults(page), []);
  }
  assert.deepEqual([page.blocked, page.failures], [[], []]);
  return page;
}

// A picture of the whole page, with the same token and time in each run.
async function picture(page, width) {
  await page.setViewportSize({ width, height: 800 });
  await page.evaluate(() => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text; (text = texts.nextNode()); )
      text.data = text.data
        .replace(/(?!0{32})[0-9a-f]{32}/g, "5f0c7a1e9b2d4c6f8a3e1d7b9c5f2a40")
        .replace(/\d+(\.?) (?:\p{L}{3,}) 20\d\d/gu, "23$1 November 2026")
        .replace(/\b\d\d:\d\d\b/g, "17:00");
  });
  return page.screenshot({ fullPage: true, animations: "disabled" });
}

// Visits the page in both colour schemes and languages. Returns the texts of its main part.
async function states(state, address) {
  const texts = {};
  for (const colorScheme of ["light", "dark"])
    for (const locale of ["en-GB", "de-DE"]) {
      const page = await visit(address, { colorScheme, locale });
      const language = locale.slice(0, 2);
      assert.equal(await page.locator("html").getAttribute("lang"), language);
      texts[language] = await page.locator("main").innerText();
      if (colorScheme === "light" && language === "en") {
        const pictures = [await picture(page, 1280)];
        await assertPicture(browser, `setup-${state}.webp`, await webp(browser, pictures, { scale: 0.65 }));
      }
      if (colorScheme === "dark" && language === "de") narrow.push(await picture(page, 320));
      await page.context().close();
    }
  return texts;
}

test("a pending domain", async () => {
  await zone();
  const { url, records } = await domain("portal.acme.test");
  const texts = await states("pending", url);
  for (const text of Object.values(texts))
    for (const { host, name, value } of records) for (const part of [host, name, value]) assert.ok(text.includes(part), part);
  assert.match(texts.en, /Not checked yet/);
});

test("wrong records, beside what was found and what to do", async () => {
  const { url, txt, cname } = await domain("wrong.acme.test");
  await zone(`${txt.name}. TXT "agency-verification=${"0".repeat(32)}"\n${cname.name}. CNAME shop.acme.test.\nshop.acme.test. A 192.0.2.9\n`);
  await check(url);
  const { en, de } = await states("wrong", url);
  for (const text of [en, de])
    for (const part of ["Route 53", "ns-2.awsdns-02.net", `"agency-verification=${"0".repeat(32)}"`, "shop.acme.test."])
      assert.ok(text.includes(part), part);
  assert.match(en, /Change the value of the CNAME record wrong in the zone acme.test at Route 53 to /);
  assert.match(de, /Ändern Sie den Wert des CNAME-Eintrags wrong in der Zone acme.test bei Route 53 auf /);
});

test("records that one of two name servers has", async () => {
  const { url, lines, txt } = await domain("half.acme.test");
  await zone("", lines);
  assert.equal((await check(url)).status, "pending");
  const { en, de } = await states("half", url);
  for (const text of [en, de]) for (const part of ["NXDOMAIN", `"${txt.value}"`]) assert.ok(text.includes(part), part);
  assert.match(en, /The name servers give different answers for half.acme.test/);
  assert.match(de, /Die Nameserver geben zu half.acme.test verschiedene Antworten/);
});

test("a verified domain, and its certificate", async () => {
  const { items } = await call("GET", "/agency/portal-domains");
  const portal = await withLink(items.find(({ hostname }) => hostname === "portal.acme.test"));
  const other = await domain("new.acme.test");
  await zone(portal.lines + other.lines);
  for (const { url } of [portal, other]) assert.equal((await check(url)).status, "verified");
  const { en, de } = await states("verified", portal.url);
  assert.match(en, /Valid\s+Until .* 20\d\d\. Issued by Example CA\./);
  assert.match(de, /Gültig\s+Bis .* 20\d\d\. Ausgestellt von Example CA\./);
  const page = await visit(other.url);
  assert.match(await page.locator("main").innerText(), /Being issued\s+This can take a few minutes\./);
  await page.context().close();
});

test("an expired domain", async () => {
  await zone();
  const { url } = await domain("expired.acme.test");
  for (const hours of [25, 8 * 24]) execFileSync("cargo", ["local", "reverify", "--in", String(hours)]);
  assert.equal((await (await fetch(url)).json()).status, "failed");
  const { en, de } = await states("expired", url);
  assert.match(en, /expired.acme.test was not proven in time/);
  assert.match(de, /expired.acme.test wurde nicht rechtzeitig nachgewiesen/);
});

test("the narrow pages, as one picture", async () => {
  assert.equal(narrow.length, 5);
  await assertPicture(browser, "setup-narrow.webp", await webp(browser, narrow, { scale: 0.5, height: 1100 }));
});

test("a link that is not valid", async () => {
  for (const options of [{}, { colorScheme: "dark", locale: "de-DE" }]) {
    const page = await visit(UNKNOWN, options);
    // Its policy allows its style.
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).display), "grid");
    await page.context().close();
  }
});

test("a correction and a new check, by the keyboard alone", async () => {
  const { url, lines } = await domain("keys.acme.test");
  await zone(lines);
  const page = await open(browser);
  await page.goto(url);
  const focused = () =>
    page.evaluate(() => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
      return { name: document.activeElement.textContent, outline: `${outlineWidth} ${outlineStyle}` };
    });
  const names = await page.locator("a, button").evaluateAll((all) => all.map((each) => each.textContent));
  for (const name of names) {
    await page.keyboard.press("Tab");
    assert.deepEqual(await focused(), { name, outline: "3px solid" });
  }
  await page.locator("button").focus();
  await Promise.all([page.waitForURL(url), page.waitForEvent("load"), page.keyboard.press("Enter")]);
  assert.match(await page.locator("main").innerText(), /Verified and connected/);
});

test("a click selects the whole value", async () => {
  const { url, txt } = await domain("click.acme.test");
  const page = await open(browser, { viewport: { width: 320, height: 800 } });
  await page.goto(url);
  await page.getByText(txt.value, { exact: true }).click();
  assert.equal(await page.evaluate(() => String(getSelection())), txt.value);
});

test("the page prints without buttons and works without scripts", async () => {
  const { url, txt } = await domain("print.acme.test");
  const page = await open(browser, { javaScriptEnabled: false });
  await page.goto(url);
  assert.ok(await page.locator("form button").isVisible());
  await page.emulateMedia({ media: "print", colorScheme: "dark" });
  assert.ok(!(await page.locator("form button").isVisible()));
  assert.ok(await page.getByText(txt.value, { exact: true }).isVisible());
  assert.ok((await page.pdf({ format: "A4" })).length > 0);
});
