// The preview of `cargo local`: what a portal's login page and dashboard show.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { API, FILES, accessibilityFaults, agency, assertPicture, launch, open, preview, token } from "./world.js";

const HOST = "acme.portal.localhost";
const SCHEMES = ["light", "dark"];
let browser, call, client;

before(async () => {
  browser = await launch();
  call = await agency("acme");
  await call("PUT", "/agency/portal-config", { featureDatabases: false, featureTerminal: true, infrastructureVisibility: "summary" });
  client = await call("POST", "/agency/clients", { name: "Bäckerei Müller" });
});
after(() => browser?.close());

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
  await assertPicture(browser, `${name}-${scheme}.png`, await page.screenshot({ animations: "disabled" }));
  await assertNarrow(page);
}

// No line of a narrow page is cut off (WCAG 2.2, 1.4.10).
async function assertNarrow(page) {
  await page.setViewportSize({ width: 320, height: 800 });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 320);
}

// Holds the next request of this path, until its route continues.
async function hold(page, path) {
  let held;
  const route = new Promise((resolve) => (held = resolve));
  await page.route(`**/portal/${path}*`, held);
  return { route };
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

test("at its own host the page shows that portal alone, and takes no token from a link", async () => {
  for (const rest of ["", "?host=theme.portal.localhost", `#token=${token(client.id, "member")}`]) {
    const page = await visit(`http://${HOST}:3000/preview${rest}`);
    assert.equal(await page.title(), "Log in – Acme Portal");
    assertQuiet(page);
  }
});

test("a host without a portal", async () => {
  const page = await visit("http://nobody.portal.localhost:3000/preview");
  await page.getByText("There is no portal at this address.").waitFor();
  assertQuiet(page);
});

test("an empty host is the page's own", async () => {
  const page = await visit(preview(""));
  await page.getByText("There is no portal at this address.").waitFor();
  assertQuiet(page);
});

test("a token in the fragment is removed from the address", async () => {
  const page = await visit(preview(HOST, `#token=${token("org_acme", "owner")}`));
  assert.equal(await page.getByRole("heading").textContent(), "Backups");
  assert.equal(await page.locator("#client").textContent(), "", "an agency has no name");
  assert.equal(page.url(), preview(HOST));
  const failed = await visit(preview("nobody.portal.localhost", "#token=x"));
  assert.equal(failed.url(), preview("nobody.portal.localhost"));
});

for (const path of ["branding", "theme.css"]) {
  test(`nobody sees the page before ${path} is there`, async () => {
    const page = await open(browser);
    const held = await hold(page, path);
    const other = page.waitForEvent("requestfinished", (request) => /portal\/(branding|theme)/.test(request.url()));
    await page.goto(preview(HOST), { waitUntil: "commit" });
    const [route] = await Promise.all([held.route, other]);
    assert.equal(await page.locator("body").isVisible(), false);
    await route.continue();
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    assertQuiet(page);
  });
}

test("the page works without the style sheet of the portal", async () => {
  const page = await open(browser);
  await page.route("**/portal/theme.css*", (route) => route.abort());
  await page.goto(preview(HOST, `#token=${token(client.id, "member")}`));
  await page.getByRole("heading", { name: "Backups" }).waitFor();
  assert.deepEqual(await accessibilityFaults(page), []);
  assertQuiet(page);
});

for (const [at, path] of ["branding", "theme.css", "context"].entries()) {
  test(`the page does not wait for ${path} without end`, async () => {
    const page = await open(browser);
    // The test ends the deadlines of the page.
    await page.addInitScript(() => {
      window.deadlines = [];
      AbortSignal.timeout = (milliseconds) => {
        const controller = new AbortController();
        deadlines.push(() => (controller.abort(new DOMException("deadline", "TimeoutError")), milliseconds));
        return controller.signal;
      };
    });
    const held = await hold(page, path);
    await page.goto(preview(HOST, "#token=x"), { waitUntil: "commit" });
    await held.route;
    assert.equal(await page.locator("body").isVisible(), false);
    assert.equal(await page.evaluate((at) => deadlines[at](), at), 10_000);
    await page.getByText(path === "theme.css" ? "The token is not valid." : "The portal does not respond.").waitFor();
    await page.evaluate(() => new Promise(requestAnimationFrame));
    assert.deepEqual(page.failures.map((failure) => failure.split(":")[0]), path === "theme.css" ? [] : ["TimeoutError"]);
  });
}

test("a bug is logged", async () => {
  const page = await open(browser);
  await page.route("**/portal/context*", (route) => route.fulfill({ json: {} }));
  await page.goto(preview(HOST, "#token=x"));
  await page.getByText("The portal does not respond.").waitFor();
  assert.match(`${page.failures}`, /^TypeError: /);
});

test("every language has the same words, and one for each boolean of the portal configuration", async () => {
  const script = await (await fetch(`${API}/preview/words.js`)).text();
  const { WORDS } = await import(`data:text/javascript,${encodeURIComponent(script)}`);
  const config = await call("GET", "/agency/portal-config");
  const settings = Object.keys(config).filter((name) => typeof config[name] === "boolean").sort();
  const names = Object.keys(WORDS.en).sort();
  for (const words of Object.values(WORDS)) {
    assert.deepEqual(Object.keys(words.settings).sort(), settings);
    assert.deepEqual(Object.keys(words).sort(), names);
  }
});

test("a portal in a language without words is in English", async () => {
  await agency("french", { language: "fr" });
  const page = await visit(preview("french.portal.localhost"));
  assert.equal(await page.title(), "Log in – french.portal.localhost");
  assert.equal(await page.evaluate(() => document.documentElement.lang), "en");
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
  const field = page.getByLabel("Token");
  assert.deepEqual([await focused(), await field.getAttribute("aria-invalid")], ["token", "true"]);
  assert.deepEqual(await accessibilityFaults(page), []);
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

test("during a login, the notice disappears and the button does not work", async () => {
  const page = await visit(preview(HOST, "#token=x"));
  await page.getByRole("alert").filter({ hasText: "The token is not valid." }).waitFor();
  const held = await hold(page, "context");
  const button = page.getByRole("button", { name: "Log in" });
  await page.getByLabel("Token").fill("y");
  await button.click();
  const route = await held.route;
  assert.deepEqual([await page.locator("#notice").textContent(), await button.isDisabled()], ["", true]);
  assert.equal(await page.getByLabel("Token").getAttribute("aria-invalid"), null);
  await route.continue();
  await page.getByRole("alert").filter({ hasText: "The token is not valid." }).waitFor();
  assert.equal(await button.isDisabled(), false);
  assertQuiet(page);
});

test("the current entry has a mark without colours", async () => {
  const page = await open(browser, { forcedColors: "active" });
  await page.goto(preview(HOST, `#token=${token(client.id, "member")}`));
  await page.getByRole("heading", { name: "Backups" }).waitFor();
  const styles = await page.locator("nav a").evaluateAll((links) =>
    links.slice(0, 2).map((link) => [getComputedStyle(link).fontWeight, getComputedStyle(link).outlineStyle]));
  assert.deepEqual(styles, [["600", "solid"], ["400", "none"]]);
});

// Only some of the settings, and for dark mode a colour alone.
const OWN = {
  portalName: "Globex", language: "de-AT", primaryColor: "#7a1f5c", primaryColorDark: "#f0a8d8", fontFamily: "'Own Font', serif",
  logoUrl: "https://cdn.acme.com/icon.svg", footerText: "<b>Globex</b>\n& friends", customCss: "main { border-radius: 2rem; }",
};
let own;

// A client with its own branding and a portal of its own.
const ownClient = async () => {
  if (own) return own;
  own = await call("POST", "/agency/clients", { name: "Globex" });
  await call("PUT", `/agency/clients/${own.id}/branding`, OWN);
  await call("POST", "/agency/portal-domains", { subdomain: "own", clientOrgId: own.id });
  return own;
};

for (const scheme of SCHEMES) {
  for (const [place, radius] of [["own", "32px"], ["acme", "16px"]]) {
    test(`a client's user sees the client's look and language at ${place}.portal.localhost (${scheme})`, async () => {
      const user = token((await ownClient()).id, "member");
      const page = await visit(preview(`${place}.portal.localhost`), scheme);
      assert.equal(await page.title(), place === "own" ? "Anmelden – Globex" : "Log in – Acme Portal");
      await page.locator("#token").fill(user);
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "Sicherungen" }).waitFor();
      assert.equal(await page.title(), "Sicherungen – Globex");
      await page.evaluate(() => document.fonts.ready);
      const seen = await page.evaluate(() => {
        const style = (selector) => getComputedStyle(document.querySelector(selector));
        return {
          lang: document.documentElement.lang,
          footer: document.getElementById("footer").innerText,
          entry: [style("[aria-current=page]").backgroundColor, style("[aria-current=page]").color],
          client: style("#client").backgroundColor,
          font: style("body").fontFamily,
          fonts: [...document.fonts].filter((font) => font.status === "loaded").map((font) => font.family.replaceAll('"', "")),
          radius: style("main").borderRadius,
        };
      });
      const dark = scheme === "dark";
      if (place === "acme") seen.fonts = seen.fonts.filter((font) => font !== "Figtree"); // The login page has used it.
      assert.deepEqual(seen, {
        lang: "de-AT",
        footer: OWN.footerText,
        entry: dark ? [rgb("#f0a8d8"), rgb("#000000")] : [rgb("#7a1f5c"), rgb("#ffffff")],
        client: rgb(dark ? "#7ddba9" : "#0a5d3a"), // The agency's.
        font: "\"Own Font\", serif, sans-serif",
        fonts: ["Own Font"],
        radius,
      });
      // The agency's logo for dark mode is inherited.
      const image = await page.getByRole("img", { name: "Globex" }).evaluate((image) => image.currentSrc);
      assert.equal(image, dark ? "https://cdn.acme.com/logo-dark.svg" : OWN.logoUrl);
      assert.deepEqual(await accessibilityFaults(page), []);
      assertQuiet(page);
    });
  }
}

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
