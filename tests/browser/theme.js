// The style sheet of a portal: another origin may use it, and no style sheet loads more than the images and the font.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { API, BRANDING, FILES, agency, launch, open, preview } from "./world.js";

const HOST = "theme.portal.localhost";
const THEME = `/portal/theme.css?host=${HOST}`;
let browser, call;

before(async () => {
  browser = await launch();
  call = await agency("theme");
});
after(() => browser?.close());

test("an accepted style sheet loads nothing, and delays neither the images nor the font", async () => {
  const everyday = "shared/src/models/css/everyday";
  const sheets = readdirSync(everyday).map((file) => readFileSync(`${everyday}/${file}`, "utf8"));
  for (const customCss of [...sheets, "img, picture, body * { display: none }", "body * { font-family: serif !important }"]) {
    await call("PUT", "/agency/branding", { customCss });
    const page = await open(browser);
    const font = page.waitForRequest(BRANDING.fontUrl);
    await page.goto(preview(HOST));
    await page.locator("body").waitFor({ state: "attached" });
    await page.waitForFunction(() => document.title.startsWith("Log in") && [...document.images].every((image) => image.complete));
    await font;
    const urls = page.requests.map(({ url }) => url);
    assert.deepEqual(urls.filter((url) => !FILES[url]), [], customCss);
    assert.ok(urls.includes(BRANDING.logoUrl) && urls.includes(BRANDING.loginBgUrl), `${urls} with ${customCss}`);
    assert.deepEqual([page.blocked, page.failures], [[], []]);
  }
});

// What a style sheet would do that the API did not check.
const UNCHECKED = `
  @import "https://evil.example/import.css";
  @font-face { font-family: Secure; src: url("https://evil.example/secure.woff2") }
  @font-face { font-family: Insecure; src: url("http://evil.example/insecure.woff2") }
  body { font-family: Secure, Insecure; behavior: url("https://evil.example/behavior.htc") }
  header { background: url("https://evil.example/secure.png") }
  main { background: url("http://evil.example/insecure.png") }
  footer { background: url("javascript:document.title='hostile'"); filter: url("https://evil.example/filter.svg#f") }
  h1 { background: url("data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>") }
  h1::after { content: "</style><script>alert(1)</script>"; width: expression(alert(1)) }
`;

test("the policy limits a style sheet that nobody checked to images and fonts over https", async () => {
  const page = await open(browser);
  await page.route("**/portal/theme.css*", (route) => route.fulfill({ contentType: "text/css", body: UNCHECKED }));
  await page.goto(preview(HOST));
  const blocked = [
    "style-src-elem https://evil.example/import.css", "font-src http://evil.example/insecure.woff2",
    "img-src http://evil.example/insecure.png", "img-src data",
  ];
  const asked = ["https://evil.example/secure.png", "https://evil.example/secure.woff2"];
  const missing = () => [
    ...blocked.filter((each) => !page.blocked.includes(each)),
    ...asked.filter((each) => !page.requests.some(({ url }) => url === each)),
  ];
  // Each round waits for a frame of the page.
  for (const end = Date.now() + 10_000; missing().length > 0; await page.evaluate(() => new Promise(requestAnimationFrame)))
    assert.ok(Date.now() < end, `neither blocked nor loaded: ${missing()}; blocked: ${page.blocked}; ${JSON.stringify(page.requests)}`);
  for (const { url, type } of page.requests.filter(({ url }) => !FILES[url])) assert.match(`${type} ${url}`, /^(image|font) https:/);
  assert.deepEqual([page.failures, await page.title()], [[], "Log in – Acme Portal"]);
});

// Pages of other origins, and the style sheet as a gateway would return it that drops `vary`.
async function serve() {
  const server = createServer(async (request, response) => {
    if (!request.url.startsWith("/portal/")) {
      const sheet = new URL(request.url, "http://page").searchParams.get("sheet");
      return response.setHeader("content-type", "text/html").end(`<!doctype html>${sheet ? `<link rel="stylesheet" href="${sheet}">` : ""}`);
    }
    const { origin } = request.headers;
    const answer = await fetch(API + request.url, { headers: origin ? { origin } : {} });
    const body = await answer.text();
    for (const name of ["content-type", "cache-control", "access-control-allow-origin"])
      if (answer.headers.has(name)) response.setHeader(name, answer.headers.get(name));
    response.end(body);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return { server, origin: `http://127.0.0.1:${server.address().port}` };
}

test("a page of another origin links the style sheet and then reads it", async () => {
  await call("PUT", "/agency/branding", { customCss: null });
  const [pages, unvaried] = [await serve(), await serve()];
  // Without routes: Playwright turns the browser's cache off for a page that has them.
  const context = await browser.newContext();
  const page = await context.newPage();
  const read = (url) => page.evaluate((url) => fetch(url).then((response) => response.text(), (error) => error.name), url);
  try {
    await page.goto(`${pages.origin}/?sheet=${encodeURIComponent(API + THEME)}`);
    const color = await page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue("--portal-primary"));
    assert.equal(color, BRANDING.primaryColor);
    assert.match(await read(API + THEME), /--portal-primary: #0b5fff;/);

    // The same without `vary: origin`: the cache has a response without CORS headers, and the browser returns that.
    await page.goto(`${pages.origin}/?sheet=${encodeURIComponent(unvaried.origin + THEME)}`);
    assert.equal(await read(unvaried.origin + THEME), "TypeError");

    // The browser's own revalidation, and one that a script makes.
    const session = await context.newCDPSession(page);
    await session.send("Network.enable");
    const statuses = [];
    session.on("Network.responseReceivedExtraInfo", ({ statusCode }) => statuses.push(statusCode));
    const seen = await page.evaluate(async (url) => {
      const first = await fetch(url);
      const again = await fetch(url, { cache: "no-cache" });
      const etag = first.headers.get("etag");
      const conditional = await fetch(url, { headers: { "if-none-match": etag } });
      return [(await first.text()) === (await again.text()), etag, conditional.status];
    }, API + THEME);
    assert.deepEqual([seen[0], seen[2]], [true, 304]);
    assert.match(seen[1], /^"[^"]+"$/);
    assert.equal(statuses.filter((status) => status === 304).length, 2, `${statuses}`);
  } finally {
    await context.close();
    for (const { server } of [pages, unvaried]) server.close();
  }
});
