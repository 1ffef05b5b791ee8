#!/usr/bin/env python3
"""Part of .ci/edge: runs Caddy with the Caddyfile of OPERATIONS.md and `cargo local` behind it, and visits portals through it.

Prints what each step saw. A step that sees something else ends the run, with the request and the response.
"""

import http.client
import http.server
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = pathlib.Path(os.environ["TMPDIR"])
CADDY = WORK / "caddy"
ROOT_CA = CADDY / "pki/authorities/local/root.crt"
ZONE = WORK / "zone.txt"
# The certificate of the subdomains, which an ACME client would write, and its authority.
WILDCARD, WILDCARD_KEY, WILDCARD_ROOT = WORK / "wildcard.pem", WORK / "wildcard.key", WORK / "authority.pem"
API = "http://127.0.0.1:3000"
# The certificates on demand are from Caddy's own authority, which stays unknown to the machine.
TEST_OPTIONS = "\tlocal_certs\n\tskip_install_trust\n"
SETTINGS = {"PORTAL_DOMAIN": "portal.localhost", "PORTAL": "127.0.0.1:8080", "WILDCARD": f"{WILDCARD} {WILDCARD_KEY}"}
CREDENTIALS = ["session=visitor", "Bearer visitor"]
UPGRADE = {"connection": "Upgrade", "upgrade": "websocket"}
# How long to wait for what needs some attempts. A domain is checked once in 5 s, and its zone file is read once a second.
PATIENCE = 30


class Response:
    """A response, and the request that it answers, for the reader of a failure."""

    def __init__(self, request: str, response: http.client.HTTPResponse):
        self.request, self.status = request, response.status
        self.location, self.body = response.headers["location"], response.read().decode()
        self.headers = str(response.headers).strip()

    def __str__(self) -> str:
        return f"{self.request}\n{self.status}\n{self.headers}\n\n{self.body}"

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            sys.exit(f"FAILED a body that is not JSON\n{self}")


class Visitor(http.client.HTTPSConnection):
    """One TLS connection to the edge, for requests to one host. It trusts Caddy's authority and that of the wildcard certificate."""

    def __init__(self, host: str):
        super().__init__(host, context=ssl.create_default_context(cafile=ROOT_CA), timeout=20)
        self._context.load_verify_locations(WILDCARD_ROOT)
        self.auto_open = False  # A second connection would not show that the first one is refused.
        self.sock = self._context.wrap_socket(socket.create_connection(("127.0.0.1", 443), 20), server_hostname=host)

    def names(self) -> list:
        return [name for _, name in self.sock.getpeercert()["subjectAltName"]]

    def visit(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Response:
        self.request(method, path, body, {"cookie": CREDENTIALS[0], "authorization": CREDENTIALS[1]} | headers)
        return Response(f"{method} https://{self.host}{path}", self.getresponse())


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it got."""

    paths = []  # of all requests

    def respond(self) -> None:
        self.paths.append(self.path)
        body = self.rfile.read(int(self.headers["content-length"] or 0)).decode()
        seen = {"method": self.command, "host": self.headers["host"], "path": self.path, "body": body}
        credentials = [self.headers["cookie"], self.headers["authorization"]]
        upgrade = [self.headers["connection"], self.headers["upgrade"]]
        answer = json.dumps(seen | {"credentials": credentials, "upgrade": upgrade}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = respond

    def log_message(self, *_) -> None:
        pass


def echo(port: int) -> None:
    """Serves `Echo`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()


class Api:
    """The API, as the owner of an agency uses it."""

    def __init__(self):
        command = ["cargo", "local", "token", "--org", "org_acme", "--role", "owner"]
        self.token = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    def send(self, method: str, path: str, body=None) -> Response:
        connection = http.client.HTTPConnection("127.0.0.1:3000", timeout=20)
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        return Response(f"{method} {path} {body or ''}", connection.getresponse())

    def call(self, method: str, path: str, body=None):
        response = self.send(method, path, body)
        if response.status >= 300:
            sys.exit(f"FAILED\n{response}")
        return response.json() if response.body else None

    def domain(self, **body) -> dict:
        return self.call("POST", "/agency/portal-domains", body)

    def verify(self, domain: dict, wanted) -> dict:
        """Checks the domain until it is as wanted."""
        deadline = time.monotonic() + PATIENCE
        while True:
            response = self.send("POST", f"/agency/portal-domains/{domain['id']}/verify")
            if response.status == 200 and wanted(response.json()):
                return response.json()
            if time.monotonic() > deadline or response.status not in (200, 429):
                sys.exit(f"FAILED {domain['hostname']} did not become as expected\n{response}")
            time.sleep(0.5)


def see(what: str, seen, expected, response: object = "") -> None:
    if seen != expected:
        sys.exit(f"FAILED {what}\nexpected {expected}\nseen     {seen}\n{response}")
    print(f"ok     {what}: {seen}", flush=True)


def refused(host: str) -> bool:
    """Whether the edge ends a handshake for the host without a certificate."""
    try:
        Visitor(host).close()
        return False
    except ssl.SSLError as error:
        return error.reason == "TLSV1_ALERT_INTERNAL_ERROR"


def certificates() -> list:
    """The names of the certificates that Caddy has obtained so far."""
    return sorted(folder.name for folder in CADDY.glob("certificates/local/*"))


def start(name: str, command: list, ready, **variables: str) -> subprocess.Popen:
    """Starts a server and waits until it is ready."""
    with open(WORK / f"{name}.log", "wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=os.environ | variables, stdout=log, stderr=log)
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if server.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"FAILED {name} did not start")
        time.sleep(0.1)
    return server


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wildcard() -> None:
    """Makes an authority and the certificate of the subdomains."""
    authority_key = WORK / "authority.key"

    def request(subject: str, key: pathlib.Path, certificate: pathlib.Path, *more) -> None:
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "1"]
        subprocess.run([*command, "-subj", f"/CN={subject}", "-keyout", key, "-out", certificate, *more], check=True, capture_output=True)

    request("An authority", authority_key, WILDCARD_ROOT, "-addext", "keyUsage=keyCertSign")
    names = ["-addext", "subjectAltName=DNS:*.portal.localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    request("Subdomains", WILDCARD_KEY, WILDCARD, "-CA", WILDCARD_ROOT, "-CAkey", authority_key, *names)


def caddyfile() -> pathlib.Path:
    """The Caddyfile of the page, with the options of the test."""
    blocks = re.findall(r"^```caddyfile\n(.*?)^```$", (ROOT / "OPERATIONS.md").read_text(), re.DOTALL | re.MULTILINE)
    if len(blocks) != 1 or not blocks[0].startswith("{\n"):
        sys.exit("FAILED OPERATIONS.md has one Caddyfile, which begins with its global options")
    file = WORK / "Caddyfile"
    file.write_text(blocks[0].replace("{\n", "{\n" + TEST_OPTIONS, 1))
    return file


def reload(config: list, **variables: str) -> None:
    """Gives Caddy these variables."""
    subprocess.run(["caddy", "reload", *config], env=os.environ | SETTINGS | variables, check=True, capture_output=True)


def walk() -> None:
    echo(8080)  # the front end of the portals
    config = ["--config", str(caddyfile()), "--adapter", "caddyfile"]
    # The edge starts first, because the API needs its authority, and with a wrong address of the API.
    wildcard()
    start("caddy", ["caddy", "run", *config], lambda: ROOT_CA.exists() and listens(443), API="http://127.0.0.1:9", **SETTINGS)
    ZONE.write_text("acme.test. NS ns-1.awsdns-01.com.\n")
    server = start("local", ["cargo", "local", "--no-schedule", "--zone", str(ZONE)], lambda: listens(3000), EDGE_ROOTS=str(ROOT_CA))

    api = Api()
    api.call("POST", "/agency/enable")
    client = api.call("POST", "/agency/clients", {"name": "Globex"})["id"]
    api.call("PUT", "/agency/branding", {"primaryColor": "#0b5fff"})
    subdomain = api.domain(subdomain="acme")
    portal = api.domain(customDomain="portal.acme.test", clientOrgId=client)
    old = api.domain(customDomain="old.acme.test", clientOrgId=client)
    with ZONE.open("a") as zone:
        for record in portal["records"] + old["records"]:
            zone.write(f"{record['name']}. {record['type']} {record['value']}\n")

    # Before the edge reaches the API, it has no permission to get a certificate.
    domain = api.verify(portal, lambda domain: domain["status"] == "verified" and domain["tls"])
    see("portal.acme.test is verified and routed", domain["routing"], "routed", domain)
    seen = [domain["tls"][name] for name in ["state", "problem"]]
    see("an edge that does not reach the API gets no certificate", seen, ["pending", "no-certificate"], domain)
    see("a visitor's handshake then fails", refused("portal.acme.test"), True)
    see("the certificates of the edge", certificates(), [])

    # With the right address, the handshake of a later check makes the edge obtain the certificate.
    reload(config, API=API)
    domain = api.verify(portal, lambda domain: domain["tls"]["state"] == "ready")
    seen = [domain["tls"][name] for name in ["problem", "issuer"]]
    see("a later check makes the edge get it", seen, [None, "Caddy Local Authority - ECC Intermediate"], domain)
    see("the certificates of the edge", certificates(), ["portal.acme.test"])

    visitor = Visitor("portal.acme.test")
    see("the certificate of portal.acme.test", visitor.names(), ["portal.acme.test"])
    response = visitor.visit("/invoices?page=2")
    expected = {"method": "GET", "host": "portal.acme.test", "path": "/invoices?page=2", "body": "", "credentials": CREDENTIALS}
    expected |= {"upgrade": [None, None]}
    see("the front end gets the request", response.json(), expected, response)
    response = visitor.visit("/invoices?page=2", **UPGRADE)
    see("with its wish for a WebSocket", response.json(), expected | {"upgrade": list(UPGRADE.values())}, response)
    response = visitor.visit("/login", "POST", "user=1")
    expected |= {"method": "POST", "path": "/login", "body": "user=1"}
    see("with its method and body", response.json(), expected, response)
    response = visitor.visit("/portal/theme.css")
    see("the style sheet of the host", "--portal-primary: #0b5fff;" in response.body, True, response)
    response = visitor.visit("/portal/branding")
    see("the branding of the host", response.json()["organizationId"], client, response)

    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=20)
    connection.request("GET", "/invoices?page=2", headers={"host": "portal.acme.test"})
    response = Response("GET http://portal.acme.test/invoices?page=2", connection.getresponse())
    see("http leads to https", [response.status, response.location], [308, "https://portal.acme.test/invoices?page=2"], response)

    api.verify(old, lambda domain: domain["status"] == "verified")
    api.call("PATCH", f"/agency/portal-domains/{old['id']}", {"redirectTo": portal["id"]})
    redirecting = Visitor("old.acme.test")
    for method, body in [("GET", None), ("POST", "user=1")]:
        response = redirecting.visit("/invoices?page=2", method, body)
        expected = [308, "https://portal.acme.test/invoices?page=2"]
        see(f"{method} at old.acme.test redirects", [response.status, response.location], expected, response)

    below = Visitor("acme.portal.localhost")
    see("the certificate of acme.portal.localhost", below.names(), ["*.portal.localhost"])
    response = below.visit("/")
    see("the subdomain's portal", response.json()["host"], "acme.portal.localhost", response)

    see("an unclaimed custom domain gets no certificate", refused("other.acme.test"), True)
    see("neither does a name below a CNAME target", refused("x.cname.portal.localhost"), True)
    response = Visitor("other.portal.localhost").visit("/")
    see("an unclaimed subdomain has the wildcard one, and no portal", response.status, 404, response)
    see("the certificates of the edge", certificates(), ["old.acme.test", "portal.acme.test"])

    api.call("PATCH", f"/agency/clients/{client}", {"suspended": True})
    response = visitor.visit("/")
    see("the portal of a suspended client is still served", response.status, 200, response)

    # The very next request in an open connection. The redirect is deleted first, because it needs its target.
    for connection, domain in [(redirecting, old), (visitor, portal), (below, subdomain)]:
        api.call("DELETE", f"/agency/portal-domains/{domain['id']}")
        response = connection.visit("/invoices?page=2")
        see(f"{domain['hostname']} ends with its deletion", response.status, 404, response)
    again = Visitor("portal.acme.test")
    see("the edge still has the certificate of portal.acme.test", again.names(), ["portal.acme.test"])
    response = again.visit("/")
    see("and no portal for it", response.status, 404, response)

    server.terminate()
    server.wait()
    response = again.visit("/")
    see("the edge's response if the API does not respond", response.status, 502, response)
    # In place of the API, a server that answers with what it got. The edge passes an answer on that is neither 308 nor 404.
    echo(3000)
    response = again.visit("/", "POST", "user=1", **UPGRADE)
    path = "/portal/redirect?host=portal.acme.test"
    expected = {"method": "GET", "host": "127.0.0.1", "path": path, "body": "", "credentials": [None, None]}
    expected |= {"upgrade": [None, None]}
    see("a question to the API", response.json(), expected, response)

    reload(config, API=API, BASE="/base")
    Echo.paths.clear()
    response = Visitor("new.acme.test").visit("/")
    paths = [f"/base/portal/{question}=new.acme.test" for question in ["tls-check?domain", "tls-check?domain", "redirect?host"]]
    see("the questions to an API below a path", Echo.paths, paths, response)


if __name__ == "__main__":
    os.environ |= {"XDG_DATA_HOME": str(WORK), "XDG_CONFIG_HOME": str(WORK), "CARGO_NET_OFFLINE": "true"}
    try:
        walk()
    except BaseException:
        for log in sorted(WORK.glob("*.log")):
            print(f"last lines of {log.name}:", *log.read_text().splitlines()[-20:], sep="\n")
        raise
