//! What holds for every operation. Each convention iterates over the operations of `openapi.json`.

mod audit;
mod base_path;
mod bodies;
mod conflicts;
mod etags;
mod faults;
mod headers;
mod hosts;
mod idempotency;
mod ids;
mod lists;
mod logs;
mod methods;
mod parameters;
mod precedence;
mod rate;
mod requests;
mod roles;
mod tenants;
mod tokens;

use std::collections::BTreeSet;

/// What an operation is expected to do unless it is one of the [`EXCEPTIONS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Convention {
    /// It answers `401` without a token.
    NeedsToken,
    /// A `GET` answers every role.
    OpenToMembers,
    /// Its success and its problems have bodies, but for `204` and redirects.
    HasBodies,
    /// Its success is JSON.
    IsJson,
    /// It reads the table, so that it can fail: `500`, `503` and `504`.
    ReadsTheTable,
    /// A `POST`, `PUT` or `PATCH` has a body.
    HasRequestBody,
}

/// The operations that depart from a convention, and why. This list may only shrink: a test fails if an operation
/// departs that is not here, and if one that is here does not depart any more.
const EXCEPTIONS: &[(Convention, &str, &str)] = &[
    (Convention::NeedsToken, "checkTls", "an edge proxy has no token"),
    (Convention::NeedsToken, "getHealth", "a probe has no token"),
    (
        Convention::NeedsToken,
        "getOpenapi",
        "it is the same for everybody",
    ),
    (
        Convention::NeedsToken,
        "getOpenapi30",
        "it is the same for everybody",
    ),
    (
        Convention::NeedsToken,
        "getPublicBranding",
        "the login page has no token yet",
    ),
    (Convention::NeedsToken, "getSetup", "the link is the credential"),
    (
        Convention::NeedsToken,
        "getSetupRecords",
        "the link is the credential",
    ),
    (
        Convention::NeedsToken,
        "getSetupStyle",
        "the link is the credential",
    ),
    (
        Convention::NeedsToken,
        "verifySetup",
        "the link is the credential",
    ),
    (
        Convention::NeedsToken,
        "getThemeCss",
        "a link to a style sheet sends none",
    ),
    (
        Convention::NeedsToken,
        "redirectHost",
        "an edge proxy has no token",
    ),
    (
        Convention::OpenToMembers,
        "listAuditEntries",
        "the audit log names other users",
    ),
    (
        Convention::HasBodies,
        "checkTls",
        "an edge proxy reads the status alone",
    ),
    (Convention::IsJson, "getSetupRecords", "a person pastes it"),
    (Convention::IsJson, "getSetupStyle", "it is CSS"),
    (Convention::IsJson, "getThemeCss", "it is CSS"),
    (
        Convention::ReadsTheTable,
        "getHealth",
        "it answers for the function alone",
    ),
    (
        Convention::ReadsTheTable,
        "getOpenapi",
        "it is a part of the function",
    ),
    (
        Convention::ReadsTheTable,
        "getOpenapi30",
        "it is a part of the function",
    ),
    (
        Convention::HasRequestBody,
        "enableAgency",
        "there is nothing to choose",
    ),
    (
        Convention::HasRequestBody,
        "verifySetup",
        "the domain says what is checked",
    ),
    (
        Convention::HasRequestBody,
        "verifyPortalDomain",
        "the domain says what is checked",
    ),
];

/// The operations that were found to depart from a convention are its exceptions.
#[track_caller]
pub fn assert_departures<'a>(convention: Convention, found: impl IntoIterator<Item = &'a str>) {
    let found: BTreeSet<&str> = found.into_iter().collect();
    let excepted = EXCEPTIONS.iter().filter(|(of, ..)| *of == convention);
    let excepted: BTreeSet<&str> = excepted.map(|(_, operation, _)| *operation).collect();
    assert_eq!(found, excepted, "{convention:?}: found, and in EXCEPTIONS");
}
