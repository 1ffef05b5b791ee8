#!/usr/bin/env python3
"""Writes all events and env.json: python3 events/generate.py (needs the package `cryptography`).

Each run makes a new key pair, signs the tokens with it and puts the public key into env.json. It does not store the private
key, so it always writes all events. replay.json is written by hand: it has the order and the expected responses.
"""

import base64
import json
import pathlib
import time
import uuid

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

HERE = pathlib.Path(__file__).parent
ISSUER, AUDIENCE, KEY_ID = "https://id.example.com/", "agency-api", "events"
PORTAL_DOMAIN = "portal.example.com"
# Ids that do not exist. A replay replaces them by the ids of earlier responses.
CLIENT = "cli_0193575b-8c00-7000-8000-000000000001"
DOMAIN = "dom_0193575b-8c00-7000-8000-000000000002"
TOKEN = "A" * 43

# function, operation, method, path template, path parameters, query, body, whether it needs a token
OPERATIONS = [
    ("agency", "enableAgency", "POST", "/agency/enable", {}, "", None, True),
    ("agency", "getAgencyOverview", "GET", "/agency/overview", {}, "", None, True),
    ("agency", "listAuditEntries", "GET", "/agency/audit", {}, "limit=50", None, True),
    ("branding", "getBranding", "GET", "/agency/branding", {}, "", None, True),
    ("branding", "putBranding", "PUT", "/agency/branding", {}, "", {
        "primaryColor": "#0B5FFF",
        "accentColor": "#f5a623",
        "logoUrl": "https://assets.example.com/acme/logo.svg",
        "fontFamily": "Inter, system-ui, sans-serif",
        "footerText": "© Acme Hosting",
        "customCss": ".login { border-radius: 8px }",
    }, True),
    ("branding", "getClientBranding", "GET", "/agency/clients/{clientOrgId}/branding", {"clientOrgId": CLIENT}, "", None,
        True),
    ("branding", "putClientBranding", "PUT", "/agency/clients/{clientOrgId}/branding", {"clientOrgId": CLIENT}, "",
        {"primaryColor": "#0A5D3A", "portalName": "Müller Portal"}, True),
    ("clients", "listClientOrgs", "GET", "/agency/clients", {}, "limit=50", None, True),
    ("clients", "createClientOrg", "POST", "/agency/clients", {}, "", {"name": "Bäckerei Müller"}, True),
    ("clients", "getClientOrg", "GET", "/agency/clients/{clientOrgId}", {"clientOrgId": CLIENT}, "", None, True),
    ("clients", "updateClientOrg", "PATCH", "/agency/clients/{clientOrgId}", {"clientOrgId": CLIENT}, "",
        {"name": "Müller & Söhne"}, True),
    ("clients", "deleteClientOrg", "DELETE", "/agency/clients/{clientOrgId}", {"clientOrgId": CLIENT}, "", None, True),
    ("portal", "getPortalConfig", "GET", "/agency/portal-config", {}, "", None, True),
    ("portal", "putPortalConfig", "PUT", "/agency/portal-config", {}, "",
        {"featureTerminal": True, "infrastructureVisibility": "summary"}, True),
    ("portal", "getClientPortalConfig", "GET", "/agency/clients/{clientOrgId}/portal-config", {"clientOrgId": CLIENT}, "",
        None, True),
    ("portal", "putClientPortalConfig", "PUT", "/agency/clients/{clientOrgId}/portal-config", {"clientOrgId": CLIENT}, "",
        {"featureTerminal": False}, True),
    ("portal", "getPortalContext", "GET", "/portal/context", {}, "", None, True),
    ("portal", "getPublicBranding", "GET", "/portal/branding", {}, f"host=acme.{PORTAL_DOMAIN}", None, False),
    ("portal", "getThemeCss", "GET", "/portal/theme.css", {}, f"host=acme.{PORTAL_DOMAIN}", None, False),
    ("portal", "redirectHost", "GET", "/portal/redirect", {}, f"host=old.{PORTAL_DOMAIN}", None, False),
    ("portal", "checkTls", "GET", "/portal/tls-check", {}, f"domain=acme.{PORTAL_DOMAIN}", None, False),
    ("portal", "getHealth", "GET", "/health", {}, "", None, False),
    ("portal", "getOpenapi", "GET", "/openapi.json", {}, "", None, False),
    ("portal", "getOpenapi30", "GET", "/openapi-3.0.json", {}, "", None, False),
    ("domains", "listPortalDomains", "GET", "/agency/portal-domains", {}, "limit=50", None, True),
    ("domains", "createPortalDomain", "POST", "/agency/portal-domains", {}, "", {"subdomain": "acme"}, True),
    ("domains", "getPortalDomain", "GET", "/agency/portal-domains/{domainId}", {"domainId": DOMAIN}, "", None, True),
    ("domains", "updatePortalDomain", "PATCH", "/agency/portal-domains/{domainId}", {"domainId": DOMAIN}, "",
        {"primary": True}, True),
    ("domains", "createSetupLink", "POST", "/agency/portal-domains/{domainId}/setup-link", {"domainId": DOMAIN}, "",
        {"days": 7}, True),
    ("domains", "deleteSetupLink", "DELETE", "/agency/portal-domains/{domainId}/setup-link", {"domainId": DOMAIN}, "",
        None, True),
    ("domains", "getSetup", "GET", "/portal/setup/{token}", {"token": TOKEN}, "", None, False),
    ("domains", "verifySetup", "POST", "/portal/setup/{token}/verify", {"token": TOKEN}, "", None, False),
    ("domains", "getSetupRecords", "GET", "/portal/setup/{token}/records", {"token": TOKEN}, "format=zone", None, False),
    ("domains", "getSetupStyle", "GET", "/portal/setup/{token}/style.css", {"token": TOKEN}, "", None, False),
    ("domains", "deletePortalDomain", "DELETE", "/agency/portal-domains/{domainId}", {"domainId": DOMAIN}, "", None,
        True),
    ("domains", "verifyPortalDomain", "POST", "/agency/portal-domains/{domainId}/verify", {"domainId": DOMAIN}, "",
        None, True),
]

# The default input of EventBridge Scheduler. The input {"shards": [0, 1]} selects two of the sixteen shards.
SCHEDULE = {
    "version": "0",
    "id": "7bf73129-1428-4cd3-a780-95db273d1602",
    "detail-type": "Scheduled Event",
    "source": "aws.scheduler",
    "account": "123456789012",
    "time": "2026-11-23T17:00:00Z",
    "region": "eu-central-1",
    "resources": ["arn:aws:scheduler:eu-central-1:123456789012:schedule/default/agency-api-Reverify-1ABC2DEF3GHI"],
    "detail": "{}",
}

# The first page of the function hosts.
HOSTS = {"limit": 1000, "cursor": None}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(key: ec.EllipticCurvePrivateKey) -> str:
    header = {"alg": "ES256", "typ": "JWT", "kid": KEY_ID}
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user_01",
        "org_id": "org_acme",
        "role": "owner",
        "iat": 1735689600,
        "exp": 4070908800,  # 2099-01-01
    }
    signed = ".".join(b64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def jwks(key: ec.EllipticCurvePrivateKey) -> str:
    point = key.public_key().public_numbers()
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "use": "sig",
        "alg": "ES256",
        "kid": KEY_ID,
        "x": b64(point.x.to_bytes(32, "big")),
        "y": b64(point.y.to_bytes(32, "big")),
    }
    return json.dumps({"keys": [jwk]}, separators=(",", ":"))


def event(key, index, method, template, parameters, query, body, needs_token):
    path = template.format(**parameters)
    host = "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com"
    at = 1764000000 + index
    text = None if body is None else json.dumps(body, ensure_ascii=False)
    headers = {
        "accept": "*/*",
        "accept-encoding": "gzip, deflate, br",
        "content-length": str(len((text or "").encode())),
        "host": host,
        "user-agent": "curl/8.11.0",
        "x-amzn-trace-id": f"Root=1-{at:x}-{uuid.uuid5(uuid.NAMESPACE_URL, method + path).hex[:24]}",
        "x-forwarded-for": "198.51.100.7",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }
    if needs_token:
        headers["authorization"] = f"Bearer {token(key)}"
    if text is not None:
        headers["content-type"] = "application/json"
    document = {
        "version": "2.0",
        "routeKey": f"ANY {template}",
        "rawPath": path,
        "rawQueryString": query,
        "headers": dict(sorted(headers.items())),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": host.split(".")[0],
            "domainName": host,
            "domainPrefix": host.split(".")[0],
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "198.51.100.7",
                "userAgent": "curl/8.11.0",
            },
            "requestId": f"{b64(uuid.uuid5(uuid.NAMESPACE_DNS, method + path).bytes)[:15]}=",
            "routeKey": f"ANY {template}",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(at)),
            "timeEpoch": at * 1000,
        },
        "isBase64Encoded": False,
    }
    if query:
        document["queryStringParameters"] = dict(pair.split("=") for pair in query.split("&"))
    if parameters:
        document["pathParameters"] = parameters
    if text is not None:
        document["body"] = text
    return document


def write(path: pathlib.Path, document) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def main() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    for index, (function, operation, *rest) in enumerate(OPERATIONS):
        write(HERE / function / f"{operation}.json", event(key, index, *rest))
    write(HERE / "reverify" / "schedule.json", SCHEDULE)
    write(HERE / "hosts" / "page.json", HOSTS)
    # The variables for `sam local --env-vars`. A container reaches `cargo local` at these addresses of the host.
    write(HERE / "env.json", {"Parameters": {
        "TABLE_NAME": "agency",
        "AUTH_ISSUER": ISSUER,
        "AUTH_AUDIENCE": AUDIENCE,
        "AUTH_JWKS_URL": "",
        "AUTH_JWKS": jwks(key),
        "PORTAL_DOMAIN": PORTAL_DOMAIN,
        "DNS_RESOLVERS": "172.17.0.1:5300",
        "DNS_MODE": "recursive",
        "DNS_ALLOW_PRIVATE": "true",
        "ALLOW_SPECIAL_USE_DOMAINS": "true",
        "AWS_ENDPOINT_URL_DYNAMODB": "http://host.docker.internal:8000",
    }})


if __name__ == "__main__":
    main()
