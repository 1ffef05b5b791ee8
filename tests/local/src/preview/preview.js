// The login page and the frame of a portal. All that they show comes from two public operations and the portal context.

// `cargo local` takes a token from the fragment, which is not sent to a server. Here it leaves the address before anything else
// happens, so it stays neither in the history nor in a copied link. A portal must never take a token from a link: the author of the
// link would choose the account that the user acts in (login CSRF). Use OpenID Connect with `state`.
const isLocal = ["127.0.0.1", "[::1]", "localhost"].includes(location.hostname);
const token = isLocal && new URLSearchParams(location.hash.slice(1)).get("token");
if (token) history.replaceState(null, "", location.pathname + location.search);
const { WORDS } = await import("./words.js");

// A portal is at its own host. `?host=` names it for `cargo local` alone: elsewhere a link could show another agency's portal.
const host = (isLocal && new URLSearchParams(location.search).get("host")) || location.hostname;
const query = `?host=${encodeURIComponent(host)}`;
const DEADLINE = 10_000; // Of each request, in milliseconds: the page is hidden until the first ones end.
const element = (id) => document.getElementById(id);
let words, look, name = host; // `look` is the branding of the host.

async function get(path, headers = {}) {
  const response = await fetch(path + query, { headers, signal: AbortSignal.timeout(DEADLINE) });
  if (!response.ok) throw await response.json(); // Problem details (RFC 9457). Their code is stable, their texts may change.
  return response.json();
}

function addLink(properties) {
  const link = Object.assign(document.createElement("link"), properties);
  document.head.append(link);
  return link;
}

// Resolves also if the style sheet does not load in time: the portal works without it.
function loadTheme() {
  const link = addLink({ rel: "stylesheet", href: `/portal/theme.css${query}` });
  return new Promise((done) => (link.onload = link.onerror = AbortSignal.timeout(DEADLINE).onabort = done));
}

// `lang` names the language of the words. They are English if there are none in the portal's language.
function translate(language) {
  words = WORDS[language.split("-")[0]];
  document.documentElement.lang = words ? language : "en";
  words ??= WORDS.en;
  for (const part of document.querySelectorAll("[data-text]")) part.textContent = words[part.dataset.text];
}

function showBranding(branding) {
  translate(branding.language ?? navigator.language);
  name = branding.portalName ?? host;
  if (branding.faviconUrl) element("icon").href = branding.faviconUrl;

  // Both images are elements of every page, and the font is preloaded, so they load whatever the style sheet is: if one loaded
  // under a selector, the time of its request would tell its host what the selector saw. An element also has an alternative text.
  const font = { rel: "preload", as: "font", type: "font/woff2", crossOrigin: "anonymous", href: branding.fontUrl };
  if (branding.fontUrl) addLink(font);
  const [dark, logo] = element("logo").children;
  element("logo").hidden = !branding.logoUrl;
  element("name").textContent = branding.logoUrl ? "" : name;
  if (branding.logoDarkUrl) dark.srcset = branding.logoDarkUrl;
  if (branding.logoUrl) Object.assign(logo, { src: branding.logoUrl, alt: name });
  if (branding.loginBgUrl) element("background").src = branding.loginBgUrl;

  element("footer").textContent = branding.footerText; // Text, never HTML.
  for (const link of document.querySelectorAll("footer a")) {
    link.parentElement.hidden = !branding[link.id];
    link.href = branding[link.id] ?? "";
  }
}

const PROPERTIES = {
  primary: "primaryColor", accent: "accentColor", "on-primary": "onPrimaryColor", "on-accent": "onAccentColor",
  "font-family": "fontFamily",
};

// `theme.css` has the look of the host. At the agency's host, a client's user sees the client's own look after login: what
// differs goes into another style sheet. Only the client's own hosts apply the client's `customCss`.
function showLook(branding) {
  const differs = (...settings) => settings.some((setting) => branding[setting] !== look[setting]);
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(":root {} @media (prefers-color-scheme: dark) { :root {} }");
  document.adoptedStyleSheets.push(sheet);
  const [light, { cssRules: [dark] }] = sheet.cssRules;
  for (const [property, setting] of Object.entries(PROPERTIES)) {
    if (!differs(setting, `${setting}Dark`)) continue;
    light.style.setProperty(`--portal-${property}`, branding[setting]);
    dark.style.setProperty(`--portal-${property}`, branding[`${setting}Dark`] ?? null);
  }
  const [, family] = branding.fontFamily?.match(/^["']?([^"',]+)/) ?? [];
  if (family && branding.fontUrl && differs("fontFamily", "fontUrl"))
    document.fonts.add(new FontFace(family, `url("${branding.fontUrl}")`, { display: "swap" }));
}

// Shows one of the views `login`, `dashboard` and `problem`.
function show(view, title) {
  document.body.className = view;
  for (const part of document.querySelectorAll("[data-view]")) part.hidden = part.dataset.view !== view;
  element("title").textContent = title;
  document.title = `${title} – ${name}`;
  // A screen reader goes on at the new page. While the body is hidden, this does nothing, as when a page loads.
  element("title").focus();
}

function showProblem(problem) {
  if (!problem.status) console.error(problem); // Not a problem that the API reports: the network, or a bug of this script.
  element("notice").textContent = words[problem.code] ?? words.other;
  // After a `401` the form remains, for another token. No other problem can be solved there.
  if (problem.status !== 401) return show("problem", words.problem);
  element("token").ariaInvalid = "true";
  element("token").focus();
}

function showDashboard({ organization, branding, config }) {
  showBranding(branding);
  showLook(branding);
  element("client").textContent = organization.name; // An agency's name is null.
  element("entries").replaceChildren();
  const add = (id, label) => {
    const link = Object.assign(document.createElement("a"), { href: `#${id}`, textContent: label });
    element("entries").appendChild(document.createElement("li")).append(link);
  };
  // The operator's own features are in `features`, if it has any. A portal has words for them.
  for (const [setting, value] of Object.entries({ ...config, ...config.features })) {
    if (value === true) add(setting, words.settings[setting] ?? setting);
    if (setting === "infrastructureVisibility" && value !== "hidden") add(setting, words[value]);
  }
  addEventListener("hashchange", showEntry);
  showEntry();
}

function showEntry() {
  const links = [...element("entries").querySelectorAll("a")];
  const current = links.find((link) => link.hash === location.hash) ?? links[0];
  for (const link of links) link.ariaCurrent = link === current ? "page" : null;
  element("notice").textContent = "";
  show("dashboard", current?.textContent ?? name);
}

async function logIn(token) {
  const button = document.querySelector("form button");
  button.disabled = true;
  // A screen reader reads a notice that changes, so the same notice as before has to disappear first.
  element("notice").textContent = "";
  element("token").ariaInvalid = null;
  await get("/portal/context", { authorization: `Bearer ${token}` }).then(showDashboard).catch(showProblem);
  button.disabled = false;
}

element("login").addEventListener("submit", (event) => {
  event.preventDefault();
  logIn(element("token").value.trim());
});
// The token is in memory alone. A new page has none.
for (const button of document.querySelectorAll(".again")) button.onclick = () => location.reload();
// Somebody enters an address with a token where the page is open already.
addEventListener("hashchange", () => location.hash.startsWith("#token=") && location.reload());

try {
  [look] = await Promise.all([get("/portal/branding"), loadTheme()]);
  showBranding(look);
  show("login", words.logIn);
  if (token) await logIn(token);
} catch (problem) {
  translate(navigator.language);
  showProblem(problem);
}
document.body.hidden = false;
