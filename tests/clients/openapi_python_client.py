"""The README's session with the client that openapi-python-client generates. ORG, TOKEN and API are environment variables."""

import os

from agency_client import AuthenticatedClient, Client
from agency_client.api.agency import enable_agency, get_agency_overview, list_audit_entries
from agency_client.api.branding import put_branding, put_client_branding
from agency_client.api.clients import create_client_org, list_client_orgs
from agency_client.api.portal import get_portal_context
from agency_client.api.portal_domains import create_portal_domain
from agency_client.api.public import get_public_branding, get_theme_css
from agency_client.models import (
    Agency,
    AgencyOverview,
    AuditAction,
    AuditEntryPage,
    Branding,
    BrandingUpdate,
    ClientBranding,
    ClientOrg,
    ClientOrgCreate,
    ClientOrgPage,
    CustomDomainCreate,
    DnsRecordType,
    PortalContext,
    PortalDomain,
    PortalDomainStatus,
    Problem,
    ProblemCode,
    PublicBranding,
    SubdomainCreate,
)
from agency_client.types import UNSET, Unset

api, org = os.environ["API"], os.environ["ORG"]
client = AuthenticatedClient(base_url=api, token=os.environ["TOKEN"])
visitor = Client(base_url=api)


def create(name: str, key: str | Unset = UNSET) -> ClientOrg:
    created = create_client_org.sync(client=client, body=ClientOrgCreate(name=name), idempotency_key=key)
    assert isinstance(created, ClientOrg), created
    return created


agency = enable_agency.sync(client=client)
assert isinstance(agency, Agency) and agency.organization_id == org

update = BrandingUpdate(primary_color="#0b5fff", logo_url="https://cdn.acme.com/logo.svg", footer_text=None, font_family="")
branding = put_branding.sync(client=client, body=update)
assert isinstance(branding, Branding) and branding.footer_text is None and branding.primary_color == "#0b5fff", branding

names = [f"Client {number}" for number in range(7)]
created = [create(name, f"key-{name}".replace(" ", "-")) for name in names]
assert create(names[0], "key-Client-0").id == created[0].id
taken = create_client_org.sync(client=client, body=ClientOrgCreate(name="x", slug=created[0].slug))
assert isinstance(taken, Problem) and taken.code is ProblemCode.SLUG_TAKEN, taken

found: list[str] = []
pages, cursor = 0, None
while pages == 0 or cursor is not None:
    page = list_client_orgs.sync(client=client, limit=2, cursor=UNSET if cursor is None else cursor)
    assert isinstance(page, ClientOrgPage), page
    found += [each.name for each in page.items]
    pages, cursor = pages + 1, page.next_cursor
assert found == names and pages == 4, (found, pages)
by_slug = list_client_orgs.sync(client=client, slug=created[0].slug)
assert isinstance(by_slug, ClientOrgPage) and [each.id for each in by_slug.items] == [created[0].id], by_slug

own = put_client_branding.sync(created[0].id, client=client, body=BrandingUpdate(portal_name="Portal 0"))
assert isinstance(own, ClientBranding) and own.client_org_id == created[0].id, own
assert own.portal_name == "Portal 0" and own.primary_color is None, own

subdomain = create_portal_domain.sync(client=client, body=SubdomainCreate(subdomain=org.replace("_", "-")))
assert isinstance(subdomain, PortalDomain) and subdomain.status is PortalDomainStatus.VERIFIED and subdomain.check is None
custom = create_portal_domain.sync(client=client, body=CustomDomainCreate(custom_domain=f"portal.{org.replace('_', '-')}.com"))
assert isinstance(custom, PortalDomain) and custom.records[0].type_ is DnsRecordType.TXT and custom.check is not None
assert custom.check.problem is None or custom.check.problem.detail

context = get_portal_context.sync(client=client)
assert isinstance(context, PortalContext) and context.domain is not None, context
assert context.domain.hostname == subdomain.hostname and context.branding.on_primary_color == "#ffffff"

public = get_public_branding.sync(client=visitor, host=subdomain.hostname)
assert isinstance(public, PublicBranding) and public.logo_url == "https://cdn.acme.com/logo.svg", public
css = get_theme_css.sync(client=visitor, host=subdomain.hostname)
assert isinstance(css, str) and "--portal-primary: #0b5fff;" in css, css

overview = get_agency_overview.sync(client=client)
assert isinstance(overview, AgencyOverview) and overview.client_count == len(names) and overview.portal_domains.total == 2
entries = list_audit_entries.sync(client=client)
assert isinstance(entries, AuditEntryPage) and entries.items[-1].action is AuditAction.AGENCY_ENABLED, entries
print(f"openapi-python-client: {len(found)} clients in {pages} pages")
