// The preview of `cargo local`: what a portal's login page and dashboard show.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { API, BRANDING, FILES, accessibilityFaults, agency, launch, open, preview, token } from "./world.js";

const HOST = "acme.portal.localhost";
const SCHEMES = ["light", "dark"];
let browser, call, client;

before(async () => {
  browser = await launch();
  call = await agency("acme");
  await call("PUT", "/agency/portal-config", { featureDatabases: false, featureTerminal: true, infrastructureVisibility: "summary" });
  client = await call("POST", "/agency/clients", { name: "Bäckerei Müller" });
});
after(() => browser.close());

const rgb = (hex) => `rgb(${[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).join(", ")})`;

// The preview of a host in this colour scheme, when it is complete.
async function visit(address, colorScheme = "light") {
  const page = await open(browser, { colorScheme });
  await page.goto(address);
  await page.locator("body").waitFor();
  await page.evaluate(() => document.fonts.ready);
  return page;
}

// Checks what is the same for each view of the agency's portal, and takes its picture.
async function look(page, scheme, name) {
  const branding = await (await fetch(`${API}/portal/branding?host=${HOST}`)).json();
  const dark = scheme === "dark" ? "Dark" : "";
  const seen = await page.evaluate(async () => {
    const images = [...document.images].map(async (image) => (await image.decode(), [image.alt, image.currentSrc]));
    const style = getComputedStyle(document.documentElement);
    const names = ["primary", "on-primary", "accent", "on-accent", "logo", "login-bg"];
    const fonts = [...document.fonts].filter((font) => font.status === "loaded").map((font) => font.family.replaceAll('"', ""));
    return {
      images: await Promise.all(images),
      properties: names.map((name) => style.getPropertyValue(`--portal-${name}`)),
      fonts,
      font: getComputedStyle(document.body).fontFamily,
      icon: document.querySelector("link[rel=icon]").href,
      lang: document.documentElement.lang,
      footer: document.getElementById("footer").innerText,
      links: [...document.querySelectorAll("footer a")].map((link) => [link.textContent, link.href]),
    };
  });
  const image = branding[`logo${dark}Url`];
  assert.deepEqual(seen, {
    images: [["", branding.loginBgUrl], ["Acme Portal", image]],
    properties: [
      branding[`primaryColor${dark}`], branding[`onPrimaryColor${dark}`],
      branding[`accentColor${dark}`], branding[`onAccentColor${dark}`],
      `url("${image}")`, `url("${branding.loginBgUrl}")`,
    ],
    fonts: ["Figtree"],
    font: "Figtree, sans-serif, sans-serif",
    icon: branding.faviconUrl,
    lang: "en",
    footer: branding.footerText,
    links: [
      ["Support", "mailto:help@acme.com"], ["Terms", "https://acme.com/terms"],
      ["Privacy", "https://acme.com/privacy"], ["Imprint", "https://acme.com/imprint"],
    ],
  });
  assert.deepEqual(await accessibilityFaults(page), []);
  await page.screenshot({ path: `${process.env.PICTURES}/${name}-${scheme}.png`, animations: "disabled" });
  await assertNarrow(page);
}

// No line of a narrow page is cut off (WCAG 2.2, 1.4.10).
async function assertNarrow(page) {
  await page.setViewportSize({ width: 320, height: 800 });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 320);
}

// Nothing was blocked or failed, and other hosts were asked for the files of the branding alone.
function assertQuiet(page) {
  assert.deepEqual([page.blocked, page.failures], [[], []]);
  assert.deepEqual(page.requests.filter(({ url }) => !FILES[url]), []);
}

for (const scheme of SCHEMES) {
  test(`the login page shows the branding (${scheme})`, async () => {
    const page = await visit(preview(HOST), scheme);
    assert.equal(await page.title(), "Log in – Acme Portal");
    const button = page.getByRole("button", { name: "Log in" });
    const colors = await button.evaluate((button) => [getComputedStyle(button).backgroundColor, getComputedStyle(button).color]);
    assert.deepEqual(colors, scheme === "dark" ? [rgb("#8ab4ff"), rgb("#000000")] : [rgb("#0b5fff"), rgb("#ffffff")]);
    assert.equal(await page.locator("#background").isVisible(), true);
    await look(page, scheme, "login");
    assertQuiet(page);
  });

  test(`the dashboard shows the context of a client (${scheme})`, async () => {
    const page = await visit(preview(HOST, `#token=${token(client.id, "member")}`), scheme);
    assert.equal(await page.title(), "Backups – Acme Portal");
    assert.deepEqual(await page.locator("nav a").allTextContents(), [
      "Backups", "Domains", "Logs", "Monitoring", "Terminal", "Infrastructure: summary", "invoices",
    ]);
    assert.equal(await page.locator("#client").textContent(), "Bäckerei Müller");
    assert.equal(await page.locator("#background").isVisible(), false);
    await look(page, scheme, "dashboard");
    assertQuiet(page);
  });
}

test("the page shows the portal of its own host without a parameter", async () => {
  const page = await visit(`http://${HOST}:3000/preview`);
  assert.equal(await page.title(), "Log in – Acme Portal");
  assertQuiet(page);
});

test("a token in the fragment is removed from the address", async () => {
  const page = await visit(preview(HOST, `#token=${token("org_acme", "owner")}`));
  assert.equal(await page.getByRole("heading").textContent(), "Backups");
  assert.equal(await page.locator("#client").textContent(), "", "an agency has no name");
  assert.equal(page.url(), preview(HOST));
});

test("the keyboard alone is enough to log in, to move and to log out", async () => {
  const page = await visit(preview(HOST));
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent);
  const tabTo = async (name) => {
    for (let count = 0; (await focused()) !== name; count++) {
      assert.ok(count < 20, `Tab does not reach ${name}`);
      await page.keyboard.press("Tab");
    }
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.equal(outline, "solid", `${name} does not show that it has the focus`);
  };
  await tabTo("token");
  await page.keyboard.type("no token");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").filter({ hasText: "The token is not valid." }).waitFor();
  await page.keyboard.press("Control+A");
  await page.keyboard.insertText(token(client.id, "member"));
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Backups" }).waitFor();
  assert.equal(await focused(), "title");
  await tabTo("Logs");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Logs" }).waitFor();
  assert.equal(await page.locator("nav [aria-current=page]").textContent(), "Logs");
  await page.keyboard.press("Shift+Tab");
  for (let count = 0; (await focused()) !== "Log out"; count++) {
    assert.ok(count < 20, "Shift+Tab does not reach Log out");
    await page.keyboard.press("Shift+Tab");
  }
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Log in" }).waitFor();
  assertQuiet(page);
});

test("a problem is explained in words", async () => {
  const problem = async (host, fragment, text) => {
    const page = await visit(preview(host, fragment));
    await page.getByRole("alert").filter({ hasText: text }).waitFor();
    assert.deepEqual(await accessibilityFaults(page), []);
    assertQuiet(page);
    return page;
  };
  const user = token(client.id, "member");
  const expired = await problem(HOST, "#token=eyJ", "The token is not valid.");
  assert.equal(await expired.getByLabel("Token").isVisible(), true);
  await problem("nobody.portal.localhost", "", "There is no portal at this address.");
  await agency("globex", {});
  await problem("globex.portal.localhost", `#token=${user}`, "Your account belongs to another portal.");

  await call("PATCH", `/agency/clients/${client.id}`, { suspended: true });
  const suspended = await problem(HOST, `#token=${user}`, "The access of your organization is suspended.");
  assert.equal(await suspended.getByRole("link", { name: "Support" }).isVisible(), true);
  await call("PATCH", `/agency/clients/${client.id}`, { suspended: false });
  await suspended.goto(preview(HOST, `#token=${user}`));
  await suspended.getByRole("heading", { name: "Backups" }).waitFor();
});

test("a client's own portal has its own look and language", async () => {
  const own = await call("POST", "/agency/clients", { name: "Globex" });
  await call("PUT", `/agency/clients/${own.id}/branding`, {
    portalName: "Globex", language: "de-AT", primaryColor: "#7a1f5c", footerText: "<b>Globex</b>\n& friends",
  });
  await call("POST", "/agency/portal-domains", { subdomain: "own", clientOrgId: own.id });
  const page = await visit(preview("own.portal.localhost", `#token=${token(own.id, "member")}`));
  assert.equal(await page.title(), "Sicherungen – Globex");
  assert.equal(await page.evaluate(() => document.documentElement.lang), "de-AT");
  assert.equal(await page.getByRole("img", { name: "Globex" }).isVisible(), true);
  assert.equal(await page.locator("#footer").innerText(), "<b>Globex</b>\n& friends");
  const current = page.locator("nav [aria-current=page]");
  assert.equal(await current.evaluate((link) => getComputedStyle(link).backgroundColor), rgb("#7a1f5c"));
  assertQuiet(page);
});

test("a portal without images is usable, also with long words", async () => {
  const long = { portalName: "W".repeat(60), footerText: "W".repeat(500) };
  await agency("plain", {});
  await agency("long", long);
  for (const [name, scheme] of ["plain", "long"].flatMap((name) => SCHEMES.map((scheme) => [name, scheme]))) {
    const page = await visit(preview(`${name}.portal.localhost`), scheme);
    assert.equal(await page.title(), `Log in – ${name === "long" ? long.portalName : "plain.portal.localhost"}`);
    assert.equal(await page.locator("footer li:visible").count(), 0);
    assert.deepEqual(await accessibilityFaults(page), []);
    await assertNarrow(page);
    assert.deepEqual(page.requests, []);
    assertQuiet(page);
  }
});
