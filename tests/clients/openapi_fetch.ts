// The README's session with openapi-fetch and the types that openapi-typescript generates.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./openapi.js";

const { API, ORG, TOKEN } = process.env;
assert(API && ORG && TOKEN);
const client = createClient<paths>({ baseUrl: API, headers: { authorization: `Bearer ${TOKEN}` } });
const visitor = createClient<paths>({ baseUrl: API });
const label = ORG.replace("_", "-");

// The data of a response. An error is a problem, or for some statuses the gateway's.
type ErrorBody = components["schemas"]["ErrorBody"];
async function data<T>(sent: Promise<{ data?: T; error?: ErrorBody }>): Promise<T> {
  const { data, error } = await sent;
  if (error) throw new Error("code" in error ? `${error.code}: ${error.detail}` : error.message);
  assert(data !== undefined);
  return data;
}

const agency = await data(client.POST("/agency/enable"));
assert.equal(agency.organizationId, ORG);

const update = { primaryColor: "#0b5fff", logoUrl: "https://cdn.acme.com/logo.svg", footerText: null, fontFamily: "" };
const branding = await data(client.PUT("/agency/branding", { body: update }));
assert.deepEqual([branding.primaryColor, branding.footerText], ["#0b5fff", null]);

const create = (name: string, key: string) =>
  data(client.POST("/agency/clients", { body: { name }, params: { header: { "idempotency-key": key } } }));
const names = [0, 1, 2, 3, 4, 5, 6].map((number) => `Client ${number}`);
for (const [number, name] of names.entries()) await create(name, `key-${number}`);
const first = await create("Client 0", "key-0");
const taken = await client.POST("/agency/clients", { body: { name: "x", slug: first.slug } });
assert(taken.error && "code" in taken.error && taken.error.code === "slug-taken");

const found: string[] = [];
let pages = 0;
for (let cursor: string | null | undefined; cursor !== null; pages++) {
  const page = await data(client.GET("/agency/clients", { params: { query: { limit: 2, cursor } } }));
  found.push(...page.items.map((each) => each.name));
  cursor = page.nextCursor;
}
assert.deepEqual([found, pages], [names, 4]);
const bySlug = await data(client.GET("/agency/clients", { params: { query: { slug: first.slug } } }));
assert.deepEqual(bySlug.items, [first]);

const params = { path: { clientOrgId: first.id } };
const own = await data(client.PUT("/agency/clients/{clientOrgId}/branding", { params, body: { portalName: "Portal 0" } }));
assert.deepEqual([own.clientOrgId, own.portalName, own.primaryColor], [first.id, "Portal 0", null]);

const subdomain = await data(client.POST("/agency/portal-domains", { body: { subdomain: label } }));
assert.deepEqual([subdomain.status, subdomain.check], ["verified", null]);
const custom = await data(client.POST("/agency/portal-domains", { body: { customDomain: `portal.${label}.com` } }));
assert.equal(custom.records[0]?.type, "TXT");

const context = await data(client.GET("/portal/context"));
assert.equal(context.domain?.hostname, subdomain.hostname);
assert.equal(context.branding.onPrimaryColor, "#ffffff");

const query = { host: subdomain.hostname };
const shown = await data(visitor.GET("/portal/branding", { params: { query } }));
assert.equal(shown.logoUrl, "https://cdn.acme.com/logo.svg");
const css = await data(visitor.GET("/portal/theme.css", { params: { query }, parseAs: "text" }));
assert(css.includes("--portal-primary: #0b5fff;"));

const overview = await data(client.GET("/agency/overview"));
assert.deepEqual([overview.clientCount, overview.portalDomains.total], [names.length, 2]);
const entries = await data(client.GET("/agency/audit"));
assert.equal(entries.items.at(-1)?.action, "agency.enabled");
console.log(`openapi-fetch: ${found.length} clients in ${pages} pages`);
