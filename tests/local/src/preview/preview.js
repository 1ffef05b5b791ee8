// The login page and the frame of a portal. All that they show comes from two public operations and the portal context.

// A portal is at its own host. `?host=` names it where this page is at another one, such as the API's.
const host = new URLSearchParams(location.search).get("host") ?? location.hostname;
const query = `?host=${encodeURIComponent(host)}`;
const element = (id) => document.getElementById(id);
let words, name = host;

async function get(path, headers = {}) {
  const response = await fetch(path + query, { headers });
  if (!response.ok) throw await response.json(); // Problem details (RFC 9457). Their code is stable, their texts may change.
  return response.json();
}

// Resolves also if the style sheet does not load: the portal works without it.
function loadTheme() {
  const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: `/portal/theme.css${query}` });
  document.head.append(link);
  return new Promise((done) => (link.onload = link.onerror = done));
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

  // Both images are elements of every page, so they load whatever the style sheet is: if one loaded under a selector, the
  // time of its request would tell its host what the selector saw. An element also has an alternative text.
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
  // After a `401` the form remains, for another token. No other problem can be solved there.
  if (problem.status !== 401) show("problem", words.problem);
  element("notice").textContent = words[problem.code] ?? words.other;
}

function showDashboard({ organization, config }) {
  element("client").textContent = organization.name; // An agency's name is null.
  element("entries").replaceChildren();
  const add = (id, label) => {
    const link = Object.assign(document.createElement("a"), { href: `#${id}`, textContent: label });
    element("entries").appendChild(document.createElement("li")).append(link);
  };
  for (const [setting, label] of Object.entries(words.settings)) if (config[setting]) add(setting, label);
  const visibility = config.infrastructureVisibility;
  if (visibility !== "hidden") add("infrastructureVisibility", words[visibility]);
  // The operator's own features, if it has any. A portal has words for them.
  for (const [feature, isOn] of Object.entries(config.features ?? {})) if (isOn) add(feature, feature);
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

const logIn = (token) => get("/portal/context", { authorization: `Bearer ${token}` }).then(showDashboard).catch(showProblem);

element("login").addEventListener("submit", (event) => {
  event.preventDefault();
  logIn(element("token").value.trim());
});
// The token is in memory alone. A new page has none.
for (const button of document.querySelectorAll(".again")) button.onclick = () => location.reload();
// Somebody enters an address with a token where the page is open already.
addEventListener("hashchange", () => location.hash.startsWith("#token=") && location.reload());

const WORDS = {
  en: {
    logIn: "Log in", logOut: "Log out", token: "Token", again: "Try again", content: "The portal shows this page here.",
    supportUrl: "Support", termsUrl: "Terms", privacyUrl: "Privacy", imprintUrl: "Imprint",
    settings: {
      featureBackups: "Backups", featureDatabases: "Databases", featureDomains: "Domains", featureFileEditor: "Files",
      featureLogs: "Logs", featureMonitoring: "Monitoring", featureOdooShell: "Odoo shell",
      featureTerminal: "Terminal", teamManagementEnabled: "Team",
    },
    summary: "Infrastructure: summary", full: "Infrastructure",
    problem: "You cannot use this portal now", other: "The portal does not respond. Try again later.",
    "no-portal": "There is no portal at this address.", "invalid-token": "The token is not valid. Enter another one.",
    "wrong-portal": "Your account belongs to another portal. Log in with another account.",
    "client-suspended": "The access of your organization is suspended. Ask the support for the reason.",
    "expired-token": "The token has expired. Enter a new one.",
  },
  de: {
    logIn: "Anmelden", logOut: "Abmelden", token: "Token", again: "Erneut versuchen", content: "Hier zeigt das Portal diese Seite.",
    supportUrl: "Hilfe", termsUrl: "AGB", privacyUrl: "Datenschutz", imprintUrl: "Impressum",
    settings: {
      featureBackups: "Sicherungen", featureDatabases: "Datenbanken", featureDomains: "Domains", featureFileEditor: "Dateien",
      featureLogs: "Protokolle", featureMonitoring: "Überwachung", featureOdooShell: "Odoo-Shell",
      featureTerminal: "Terminal", teamManagementEnabled: "Team",
    },
    summary: "Infrastruktur: Übersicht", full: "Infrastruktur",
    problem: "Sie können dieses Portal zurzeit nicht nutzen", other: "Das Portal antwortet nicht. Versuchen Sie es später erneut.",
    "no-portal": "Unter dieser Adresse gibt es kein Portal.", "invalid-token": "Das Token ist ungültig. Geben Sie ein anderes ein.",
    "wrong-portal": "Ihr Konto gehört zu einem anderen Portal. Melden Sie sich mit einem anderen Konto an.",
    "client-suspended": "Der Zugang Ihrer Organisation ist gesperrt. Fragen Sie die Hilfe nach dem Grund.",
    "expired-token": "Das Token ist abgelaufen. Geben Sie ein neues ein.",
  },
};

try {
  const [branding] = await Promise.all([get("/portal/branding"), loadTheme()]);
  showBranding(branding);
  show("login", words.logIn);
  // A fragment is not sent to a server. Without it in the address, the token is neither in the history nor in a copied link.
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    history.replaceState(null, "", location.pathname + location.search);
    await logIn(token);
  }
} catch (problem) {
  translate(navigator.language);
  showProblem(problem);
}
document.body.hidden = false;
