// What the tests share: an agency with full branding, a browser, and the files of the agency's CDN. No packet leaves the machine.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import axe from "axe-core";
import { chromium } from "playwright-core";

export const API = "http://127.0.0.1:3000";

const svg = (width, height, shapes) => ({
  contentType: "image/svg+xml",
  body: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">${shapes}</svg>`,
});
// The name is drawn, because the text of an image has a font of the machine.
const logo = (mark, text) =>
  svg(158, 40, `<path fill="${mark}" d="M2 34 20 6l18 28z"/><path fill="${text}" d="m20 34 9-14 9 14z"/>
    <g fill="none" stroke="${text}" stroke-width="4.500" stroke-linecap="round" stroke-linejoin="round">
    <path d="m50 32 10-22 10 22M54 25h12M97 14a11 11 0 1 0 0 14M109 32V10l9 13 9-13v22M154 10h-15v22h15M139 21h13"/></g>`);

// The files of other hosts.
export const FILES = {
  "https://cdn.acme.com/logo.svg": logo("#0b5fff", "#12234a"),
  "https://cdn.acme.com/logo-dark.svg": logo("#8ab4ff", "#ffffff"),
  "https://cdn.acme.com/icon.svg": svg(40, 40, '<path fill="#0b5fff" d="M2 36 20 6l18 30z"/>'),
  "https://cdn.acme.com/login.svg": svg(
    1280, 800,
    '<path fill="#1d3f8f" d="M0 0h1280v800H0z"/><path fill="#2a55b5" d="m0 480 360-320 320 360 280-240 320 280v240H0z"/>' +
      '<path fill="#12306f" d="m0 680 280-240 320 280 400-320 280 240v160H0z"/>',
  ),
  "https://fonts.acme.com/figtree.woff2": {
    contentType: "font/woff2",
    // A browser loads fonts with CORS.
    headers: { "access-control-allow-origin": "*" },
    body: readFileSync(createRequire(import.meta.url).resolve("@fontsource/figtree/files/figtree-latin-400-normal.woff2")),
  },
};

export const BRANDING = {
  portalName: "Acme Portal",
  primaryColor: "#0b5fff",
  primaryColorDark: "#8ab4ff",
  accentColor: "#0a5d3a",
  accentColorDark: "#7ddba9",
  logoUrl: "https://cdn.acme.com/logo.svg",
  logoDarkUrl: "https://cdn.acme.com/logo-dark.svg",
  faviconUrl: "https://cdn.acme.com/icon.svg",
  loginBgUrl: "https://cdn.acme.com/login.svg",
  fontUrl: "https://fonts.acme.com/figtree.woff2",
  fontFamily: "Figtree, sans-serif",
  supportUrl: "mailto:help@acme.com",
  termsUrl: "https://acme.com/terms",
  privacyUrl: "https://acme.com/privacy",
  imprintUrl: "https://acme.com/imprint",
  language: "en",
  footerText: "Acme GmbH, Vienna\nMonday to Friday, 8 to 18 h",
  customCss: "main { border-radius: 1rem; }",
};

export const token = (org, role) =>
  execFileSync("cargo", ["local", "token", "--org", org, "--role", role], { encoding: "utf8" }).trim();

// A function that calls the API for an organization. The response must have one of the expected statuses.
export function caller(org, role = "owner") {
  const authorization = `Bearer ${token(org, role)}`;
  return async (method, path, body, expected = [200, 201]) => {
    const headers = { authorization, ...(body && { "content-type": "application/json" }) };
    const response = await fetch(API + path, { method, headers, body: body && JSON.stringify(body) });
    const json = await response.json();
    assert.ok(expected.includes(response.status), `${method} ${path}: ${response.status} ${JSON.stringify(json)}`);
    return json;
  };
}

// An agency with this branding and the subdomain of this name. Returns the function that calls the API for it.
export async function agency(name, branding = BRANDING) {
  const call = caller(`org_${name}`);
  await call("POST", "/agency/enable");
  await call("PUT", "/agency/branding", branding);
  await call("POST", "/agency/portal-domains", { subdomain: name });
  return call;
}

// Chromium refuses to run as root with its sandbox. The rules are a second barrier behind the routes of `open`.
export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: [
      ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE *.localhost",
    ],
  });

// A new page. It reaches the API and the files alone. `page.requests` has what it asked of other hosts, `page.blocked` what the
// policy blocked, `page.failures` the exceptions of its scripts and the errors that they log.
export async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  Object.assign(page, { requests: [], blocked: [], failures: [] });
  page.on("pageerror", (error) => page.failures.push(String(error)));
  // What the browser itself logs, such as the status of a response, has no arguments.
  page.on("console", (message) => message.type() === "error" && message.args().length > 0 && page.failures.push(message.text()));
  page.on("dialog", (dialog) => page.failures.push(dialog.message()) && dialog.dismiss());
  await page.exposeFunction("report", (directive, uri) => page.blocked.push(`${directive} ${uri}`));
  await page.addInitScript(() =>
    addEventListener("securitypolicyviolation", (event) => report(event.effectiveDirective, event.blockedURI)),
  );
  await context.route("**/*", (route) => {
    const request = route.request();
    if (/^http:\/\/(127\.0\.0\.1|\w+\.portal\.localhost):3000\//.test(request.url())) return route.continue();
    page.requests.push({ url: request.url(), type: request.resourceType() });
    return FILES[request.url()] ? route.fulfill(FILES[request.url()]) : route.abort();
  });
  return page;
}

export const preview = (host, fragment = "") => `${API}/preview?host=${host}${fragment}`;

// What axe finds. Playwright evaluates the script as a debugger does, so the policy of the page does not block it.
// Its preloading would make style elements, which the policy blocks.
export async function accessibilityFaults(page) {
  await page.evaluate(axe.source);
  const { violations, incomplete } = await page.evaluate(() => axe.run({ preload: false }));
  return [...violations, ...incomplete].map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

// Pictures beside each other, scaled and cut at this height, as WebP: a tenth of a PNG's size.
export async function webp(browser, pictures, { scale, height: limit = Infinity }) {
  const page = await browser.newPage();
  const encoded = await page.evaluate(
    async ([pictures, scale, limit]) => {
      const images = await Promise.all(
        pictures.map(async (base64) => createImageBitmap(await (await fetch(`data:image/png;base64,${base64}`)).blob())),
      );
      const gap = 16;
      const height = Math.min(limit, Math.max(...images.map((image) => image.height)));
      const width = images.reduce((sum, image) => sum + image.width + gap, -gap);
      const canvas = new OffscreenCanvas(Math.round(width * scale), Math.round(height * scale));
      const context = canvas.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.scale(scale, scale);
      let left = 0;
      for (const image of images) {
        context.drawImage(image, left, 0);
        left += image.width + gap;
      }
      const blob = await canvas.convertToBlob({ type: "image/webp", quality: 0.7 });
      return new Promise((resolve) => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result.split(",")[1]);
        reader.readAsDataURL(blob);
      });
    },
    [pictures.map((picture) => picture.toString("base64")), scale, limit],
  );
  await page.close();
  return Buffer.from(encoded, "base64");
}

// Compares a picture with that of README.md, unless it is to be replaced.
export async function assertPicture(browser, file, picture) {
  writeFileSync(`${process.env.PICTURES}/${file}`, picture);
  if (process.env.UPDATE_PICTURES) return;
  const count = await differentPixels(browser, picture, readFileSync(`tests/browser/pictures/${file}`));
  assert.ok(count <= 50, `${count} pixels differ from README.md's ${file}: if they should, run UPDATE_PICTURES=1 .ci/browser`);
}

// How many pixels differ between two pictures of the same size. The tolerance is for the edges of letters, which differ between
// versions of Chromium.
async function differentPixels(browser, ...pictures) {
  const page = await browser.newPage();
  const count = await page.evaluate(async (pictures) => {
    const decode = async (base64) => {
      const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${base64}`)).blob());
      const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
      context.drawImage(image, 0, 0);
      return context.getImageData(0, 0, image.width, image.height);
    };
    const [a, b] = await Promise.all(pictures.map(decode));
    if (a.width !== b.width || a.height !== b.height) return Infinity;
    const different = new Set();
    for (let at = 0; at < a.data.length; at++) if (Math.abs(a.data[at] - b.data[at]) > 48) different.add(at >> 2);
    return different.size;
  }, pictures.map((picture) => picture.toString("base64")));
  await page.close();
  return count;
}
