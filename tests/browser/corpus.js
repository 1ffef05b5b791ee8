// The style sheets that a fuzzer found (tests/fuzz/css), as Chromium reads them: what the API accepts loads nothing, has no
// rule that is not allowed, and does not end its element or its style sheet.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { API, agency, launch, open } from "./world.js";

const PAGE = "http://page.example/";
const HOST = "corpus.portal.localhost";
const EVERYDAY = "shared/src/models/css/everyday";
const FOUND = "tests/fuzz/css/accepted.jsonl";
const RULES = [
  "CSSContainerRule", "CSSCounterStyleRule", "CSSKeyframeRule", "CSSKeyframesRule", "CSSLayerBlockRule", "CSSLayerStatementRule",
  "CSSMarginRule", "CSSMediaRule", "CSSNestedDeclarations", "CSSPageRule", "CSSScopeRule", "CSSStartingStyleRule", "CSSStyleRule",
  "CSSSupportsRule",
];
let browser, call;

before(async () => {
  browser = await launch();
  call = await agency("corpus", { customCss: null });
});
after(() => browser?.close());

// In the page: links the style sheet, and returns what it has that is not allowed.
async function faults({ href, css, rules }) {
  const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
  await new Promise((loaded, failed) => {
    Object.assign(link, { onload: loaded, onerror: failed });
    document.head.append(link);
  });
  const found = [];
  const plain = (text) => text.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/gs, '""');
  // A name has all characters above ASCII.
  const loads = /(^|[^\w\u0080-\uffff-])((-\w+-)?(url|src|image|image-set|cross-fade|element|paint|expression)\(|--portal-(logo|login-bg)(?![\w\u0080-\uffff-]))/i;
  const walk = (list) => {
    for (const rule of list) {
      if (!rules.includes(rule.constructor.name)) found.push(`${rule.constructor.name} ${rule.cssText}`);
      for (const name of rule.style ?? []) {
        const declaration = `${name}: ${plain(rule.style.getPropertyValue(name))}`;
        if (loads.test(declaration)) found.push(declaration);
      }
      walk(rule.cssRules ?? []);
    }
  };
  walk(link.sheet.cssRules);
  const last = [...link.sheet.cssRules].at(-1)?.cssText;
  if (last !== "#last { color: red; }") found.push(`the last rule is ${last}`);
  // Two frames: style and layout with this style sheet, and what they would load.
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
  link.remove();
  const { all } = new DOMParser().parseFromString(`<!doctype html><style>${css}</style><p>`, "text/html");
  const elements = [...all].map((element) => element.localName).join(" ");
  if (elements !== "html head style body p") found.push(`the document has ${elements}`);
  return found;
}

test("what a fuzzer found loads nothing and stays in its style sheet", async () => {
  const page = await open(browser);
  const body = '<p class="a b c d x y" id="a"><a href="/" title="x">a</a><b id="b">b</b><i>i</i><input><svg:a>x</svg:a>';
  await page.route(PAGE, (route) => route.fulfill({ contentType: "text/html", body: `<!doctype html><body>${body}` }));
  let sheet;
  await page.route(`${PAGE}*.css`, (route) => route.fulfill({ contentType: "text/css", body: sheet }));
  await page.goto(PAGE);
  const sheets = readFileSync(FOUND, "utf8").trim().split("\n").map((line) => JSON.parse(line));
  for (const file of readdirSync(EVERYDAY)) sheets.push(readFileSync(`${EVERYDAY}/${file}`, "utf8"));
  for (const [index, customCss] of sheets.entries()) {
    await call("PUT", "/agency/branding", { customCss }, [200]);
    const css = await (await fetch(`${API}/portal/theme.css?host=${HOST}`)).text();
    sheet = `${css}\n#last { color: red }`;
    const found = await page.evaluate(faults, { href: `${PAGE}${index}.css`, css, rules: RULES });
    const urls = page.requests.map(({ url }) => url);
    assert.deepEqual([found, urls, page.failures], [[], [], []], customCss);
  }
  console.log(`${sheets.length} style sheets`);
  assert.ok(sheets.length > 50, "the fuzzer found only a few");
});
