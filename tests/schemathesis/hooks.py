"""The exceptions to Schemathesis's checks, and the record of the responses.

No check is off, and no operation is left out. Each exception is a response that is right although the schema of the request allows
it.
"""

import os
import re

import schemathesis

# Where a value passes its schema and not its check, which no schema can express: the pointer and the code of the error.
VALUES = re.compile(
    "|".join(
        [
            # The id of a client or a domain that does not exist, or of another agency.
            "/(clientOrgId|redirectTo) not-allowed",
            # Only the operator's environment says which features there are.
            "/features(/.*)? unknown-property",
            # A URL must have a public host name.
            "/[a-zA-Z]+Url (not-allowed|invalid-format)",
            # A host name has 253 characters in its ASCII form, and the rules of IDNA and of the DNS.
            "/customDomain [a-z-]+",
            # A label may have white space around it, and some labels are reserved.
            "/subdomain (invalid-format|reserved)",
            # The domain of an address has the rules of a host name.
            "/fromEmail invalid-format",
            # The order and the number of the subtags of a language tag (RFC 5646, section 2.1).
            "/language invalid-format",
        ]
    )
)


def is_right(label, problem):
    """Whether a request that fits its schema is rejected rightly."""
    match problem["code"]:
        # A cursor is what an earlier response returned, and not any text.
        case "invalid-cursor":
            return True
        # `slug`, `externalId` and `name` exclude each other, and the first two exclude `limit` and `cursor`.
        case "invalid-parameter":
            return label == "GET /agency/clients"
        # An `if-match` that is not the present `ETag`.
        case "stale":
            return label.startswith("PUT ")
        # A key that an earlier request used with another body.
        case "idempotency-mismatch":
            return True
        case "invalid-body":
            return all(VALUES.fullmatch(f"{error['pointer']} {error['code']}") for error in problem["errors"])
    return False


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Returns whether the failure counts."""
    match failure.code:
        # A request that fits its schema has been rejected.
        case "ST202":
            return not is_right(case.operation.label, response.json())
        # A request that does not fit its schema has been accepted. The status of a body of over 64 KiB is not an acceptance.
        case "ST201":
            return response.status_code != 413
        # A resource that was just created is not found: a subdomain has no setup link.
        case "ST302":
            return not case.operation.label.endswith("/setup-link")
    return True


@schemathesis.hook
def after_call(context, case, response):
    """Writes the operation and the status of each response."""
    label = case.operation.label if case.operation.label.startswith(f"{case.method} ") else "other methods"
    with open(os.environ["RESPONSES"], "a", encoding="utf-8") as responses:
        responses.write(f"{label} {response.status_code}\n")
