"""Two checks of who may do what, the exceptions to Schemathesis's own checks, and the record of the responses.

No check of Schemathesis is off. Each exception is a response that is right although the schema of the request allows the request.
"""

import os
import re

import schemathesis

USER = os.environ["USER_NAME"]

# The ids of the subdomains that this run created.
SUBDOMAINS = set()
# The ids in responses that an `Idempotency-Key` repeated.
REPLAYED = set()

# Where a value passes its schema and not its check, because no schema can express the rule: the pointer and the codes of the error.
VALUES = {
    # The id of a client or a domain that does not exist, or of another agency.
    "/(clientOrgId|redirectTo)": "not-allowed",
    # Only the operator's environment says which features there are, and `cargo local` has none.
    "/features": "unknown-property",
    # A URL must have a public host name (not-allowed) in a form that no parser repairs (invalid-format). Its length counts as stored:
    # with a path, and percent-encoded (too-long).
    "/[a-zA-Z]+Url": "not-allowed|invalid-format|too-long",
    # The rules of IDNA, the lengths in the ASCII form, the Public Suffix List, the portal's own domain, and a last label that is a
    # number.
    "/customDomain": "invalid-name|name-too-long|label-too-long|public-suffix|portal-domain|ip-address",
    # `xn--` at the beginning, which a pattern cannot exclude without a lookahead, and a list of labels.
    "/subdomain": "invalid-format|reserved",
    # The domain has the rules of a host name. A pattern cannot limit the local part to 64 characters without a lookahead.
    "/fromEmail": "invalid-format|too-long",
    # The grammar of CSS: a name or a string between two commas (invalid-format), and no function or keyword of CSS (not-allowed).
    "/fontFamily": "invalid-format|not-allowed",
    # The grammar of CSS and what it may contain. The size counts in bytes (too-long).
    "/customCss": "invalid-format|not-allowed|too-long",
    # The order and the number of the subtags of a language tag (RFC 5646, section 2.1).
    "/language": "invalid-format",
}


def is_right(case, problem):
    """Whether it is right that a request that fits its schema was rejected."""
    query, headers = case.query or {}, {name.lower() for name in case.headers or {}}
    match problem["code"]:
        # A cursor is what an earlier response returned, and not any text.
        case "invalid-cursor":
            return "cursor" in query
        # `slug`, `externalId` and `name` exclude each other, and the first two exclude `limit` and `cursor`.
        case "invalid-parameter":
            exact = len({"slug", "externalId"} & set(query))
            others = bool({"name", "limit", "cursor"} & set(query))
            return case.operation.label == "GET /agency/clients" and exact + others > 1
        # An `if-match` that is not the present `ETag`.
        case "stale":
            return "if-match" in headers
        # A key that an earlier request used with another body.
        case "idempotency-mismatch":
            return "idempotency-key" in headers
        case "invalid-body":
            errors = problem["errors"]
            return bool(errors) and all(
                any(re.fullmatch(pointer, error["pointer"]) and re.fullmatch(codes, error["code"]) for pointer, codes in VALUES.items())
                for error in errors
            )
    return False


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Returns whether the failure counts."""
    match failure.code:
        # A request that fits its schema has been rejected.
        case "ST202":
            is_problem = response.headers["content-type"] == ["application/problem+json"]
            return not (is_problem and is_right(case, response.json()))
        # A resource that was just created is not found: a subdomain has no setup link, and a repeated response is that of a resource
        # that may have been deleted since.
        case "ST302":
            ids = set(case.path_parameters.values())
            is_link = case.operation.label.endswith("/setup-link")
            return not (is_link and ids & SUBDOMAINS or ids & REPLAYED)
    return True


@schemathesis.check
def roles(ctx, response, case):
    """A member writes nothing under /agency, and a stranger learns nothing there: not even whether something exists."""
    if not case.operation.path.startswith("/agency/") or case.method == "OPTIONS":
        return
    match USER:
        case "member" if case.method not in ("GET", "HEAD"):
            allowed = {401, 403, 405}
        case "stranger":
            allowed = {400, 401, 403, 405, 413, 415, 422}
        case _:
            return
    assert response.status_code in allowed, f"{USER} got {response.status_code}"


@schemathesis.hook
def after_call(context, case, response):
    """Writes the user, the operation and the status of each response."""
    label = case.operation.label if case.operation.label.startswith(f"{case.method} ") else "other methods"
    if response.status_code == 201 and label in ("POST /agency/clients", "POST /agency/portal-domains"):
        created = response.json()
        if created.get("type") == "subdomain":
            SUBDOMAINS.add(created["id"])
        if "idempotency-replayed" in response.headers:
            REPLAYED.add(created["id"])
    with open(os.environ["RESPONSES"], "a", encoding="utf-8") as responses:
        responses.write(f"{label} {response.status_code}\n")
