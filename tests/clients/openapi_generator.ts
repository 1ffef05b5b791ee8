// The README's session with the client that openapi-generator generates for fetch.
import assert from "node:assert/strict";
import {
  AgencyApi,
  AuditAction,
  BrandingApi,
  ClientsApi,
  Configuration,
  DnsRecordType,
  PortalApi,
  PortalDomainsApi,
  PortalDomainStatus,
  ProblemCode,
  ProblemFromJSON,
  PublicApi,
  ResponseError,
} from "./generated/index.js";

const { API, ORG, TOKEN } = process.env;
assert(API && ORG && TOKEN);
const configuration = new Configuration({ basePath: API, accessToken: TOKEN });
const agencies = new AgencyApi(configuration);
const clients = new ClientsApi(configuration);
const domains = new PortalDomainsApi(configuration);
const visitor = new PublicApi(new Configuration({ basePath: API }));
const label = ORG.replace("_", "-");

const agency = await agencies.enableAgency();
assert.equal(agency.organizationId, ORG);

const brandingUpdate = { primaryColor: "#0b5fff", logoUrl: "https://cdn.acme.com/logo.svg", footerText: null, fontFamily: "" };
const brandings = new BrandingApi(configuration);
const branding = await brandings.putBranding({ brandingUpdate });
assert.deepEqual([branding.primaryColor, branding.footerText], ["#0b5fff", null]);

const create = (name: string, idempotencyKey: string) =>
  clients.createClientOrg({ clientOrgCreate: { name }, idempotencyKey });
const names = [0, 1, 2, 3, 4, 5, 6].map((number) => `Client ${number}`);
for (const [number, name] of names.entries()) await create(name, `key-${number}`);
const first = await create("Client 0", "key-0");
const taken = await clients.createClientOrg({ clientOrgCreate: { name: "x", slug: first.slug } }).catch((error) => error);
assert(taken instanceof ResponseError);
assert.equal(ProblemFromJSON(await taken.response.json()).code, ProblemCode.SlugTaken);

const found: string[] = [];
let pages = 0;
for (let cursor: string | null | undefined; cursor !== null; pages++) {
  const page = await clients.listClientOrgs({ limit: 2, cursor });
  found.push(...page.items.map((each) => each.name));
  cursor = page.nextCursor;
}
assert.deepEqual([found, pages], [names, 4]);
const bySlug = await clients.listClientOrgs({ slug: first.slug });
assert.deepEqual(bySlug.items, [first]);

const own = await brandings.putClientBranding({ clientOrgId: first.id, brandingUpdate: { portalName: "Portal 0" } });
assert.deepEqual([own.clientOrgId, own.portalName, own.primaryColor], [first.id, "Portal 0", null]);

const subdomain = await domains.createPortalDomain({ portalDomainCreate: { subdomain: label } });
assert.deepEqual([subdomain.status, subdomain.check], [PortalDomainStatus.Verified, null]);
const customDomain = `portal.${label}.com`;
const custom = await domains.createPortalDomain({ portalDomainCreate: { customDomain } });
assert.equal(custom.records[0]?.type, DnsRecordType.Txt);
assert(custom.createdAt instanceof Date);

const context = await new PortalApi(configuration).getPortalContext();
assert.equal(context.domain?.hostname, subdomain.hostname);
assert.equal(context.branding.onPrimaryColor, "#ffffff");

const shown = await visitor.getPublicBranding({ host: subdomain.hostname });
assert.equal(shown.logoUrl, "https://cdn.acme.com/logo.svg");
const css = await visitor.getThemeCss({ host: subdomain.hostname });
assert(css.includes("--portal-primary: #0b5fff;"));

const overview = await agencies.getAgencyOverview();
assert.deepEqual([overview.clientCount, overview.portalDomains.total], [names.length, 2]);
const entries = await agencies.listAuditEntries();
assert.equal(entries.items.at(-1)?.action, AuditAction.AgencyEnabled);
console.log(`openapi-generator: ${found.length} clients in ${pages} pages`);
