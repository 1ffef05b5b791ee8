//! The order of errors: of several that apply, the first is the response.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::harness::{
    Answer, Api, CLIENTS, JSON, NO_CLIENT,
    operations::{Names, Operation, SampleTenant, operations},
};

const MAX_BODY: usize = 64 * 1024;

/// The codes that a request can be made to provoke, in the order in which they are told.
const ORDER: [&str; 17] = [
    "missing-token",
    "role-too-low",
    "unsupported-media-type",
    "body-too-large",
    "invalid-json",
    "invalid-parameter",
    "invalid-cursor",
    "invalid-body",
    "client-organization",
    "agency-not-enabled",
    "wrong-portal",
    "not-found",
    "no-portal",
    "stale",
    "external-id-taken",
    "slug-taken",
    "hostname-taken",
];

/// Provoked by the state of the system rather than by the request: their tests are elsewhere.
const OTHERS: [&str; 11] = [
    "expired-token",
    "invalid-token",
    "client-has-domains",
    "client-suspended",
    "idempotency-mismatch",
    "limit-reached",
    "redirect-target",
    "too-many-requests",
    "internal",
    "unavailable",
    "timeout",
];

/// A request that is wrong in all of these ways, and in no other.
async fn attempt(
    operation: &Operation,
    tenant: &SampleTenant<'_>,
    wrongs: &[&str],
    method: &Method,
) -> Answer {
    let api = tenant.owner.api;
    let is = |code: &str| wrongs.contains(&code);
    let org = match (is("client-organization"), is("agency-not-enabled")) {
        (true, _) => NO_CLIENT,
        (_, true) => "org_none",
        // The context names no host: its portal is that of the organization.
        _ if is("no-portal") && !operation.public => "org_none",
        _ => "org_acme",
    };
    let user = match (is("missing-token"), is("role-too-low")) {
        (true, _) => api.visitor(),
        (_, true) => api.user(org, "member"),
        _ => api.user(org, "admin"),
    };
    let names = match is("not-found") || is("no-portal") {
        true => Names::absent(),
        false => tenant.names.clone(),
    };
    let mut uri = operation.uri(&names);
    if is("wrong-portal") {
        uri = format!("{uri}?host=otherword-sub.portal.localhost");
    }
    if is("invalid-parameter") && !operation.takes("header", "idempotency-key") {
        let parameter = match operation.is_list() {
            true => "limit",
            false => operation.parameters("query").next().unwrap().0,
        };
        uri = format!("{}?{parameter}=", operation.path(&names));
    }
    if is("invalid-cursor") {
        let joint = if uri.contains('?') { '&' } else { '?' };
        uri = format!("{uri}{joint}cursor=x");
    }
    let mut body = operation.body.clone().unwrap_or_default();
    if is("slug-taken") {
        body = json!({"name": "New", "slug": "taken"});
    }
    if is("external-id-taken") {
        body["externalId"] = json!("taken");
    }
    if is("hostname-taken") {
        body = json!({"subdomain": "acmeword-sub"});
    }
    if is("invalid-body") {
        body["nonsense"] = json!(true);
    }
    let mut body = body.to_string();
    if is("invalid-json") {
        body.pop();
    }
    if is("body-too-large") {
        body.push_str(&" ".repeat(MAX_BODY));
    }
    let mut headers = JSON.to_vec();
    if is("unsupported-media-type") {
        headers[0].1 = "text/plain";
    }
    if is("invalid-parameter") && operation.takes("header", "idempotency-key") {
        headers.push(("idempotency-key", "no key"));
    }
    if is("stale") {
        headers.push(("if-match", "\"old\""));
    }
    user.raw(method.clone(), &uri, &headers, body).await
}

#[tokio::test]
async fn of_several_errors_the_first_in_order_is_the_response() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let taken = json!({"name": "Taken", "slug": "taken", "externalId": "taken"});
    tenant.owner.post(CLIENTS, taken).await.expect(201);
    SampleTenant::new(&api, "org_other", "otherword").await;
    for operation in operations() {
        let own: Vec<_> = ORDER
            .into_iter()
            .filter(|code| operation.has_problem(code))
            .collect();
        let known = operation
            .problems
            .keys()
            .filter(|code| own.contains(&code.as_str()) || OTHERS.contains(&code.as_str()));
        assert_eq!(known.count(), operation.problems.len(), "{operation:?}");
        let refused = attempt(operation, &tenant, &own, &Method::TRACE).await;
        refused.problem(405, "method-not-allowed");
        // Each alone, in pairs, and with all that come after it.
        for (place, first) in own.iter().enumerate() {
            let later = &own[place + 1..];
            let pairs = later.iter().map(|second| vec![*first, *second]);
            for wrongs in [vec![*first], own[place..].to_vec()].into_iter().chain(pairs) {
                let answer = attempt(operation, &tenant, &wrongs, &operation.method).await;
                let status = operation.problems[*first];
                assert_eq!(
                    answer.status.as_u16(),
                    status,
                    "{} {wrongs:?}: {answer:?}",
                    operation.id
                );
                if operation.media_type().is_some() || status < 404 {
                    answer.problem(status, first);
                }
            }
        }
    }
}

/// The last in the order, because it depends on the request before.
#[tokio::test]
async fn a_rate_limit_applies_after_every_other_error() {
    let api = Api::stopped().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let limited = operations()
        .iter()
        .filter(|operation| operation.has_problem("too-many-requests"));
    let mut count = 0;
    for operation in limited {
        // Both operations check the same domain.
        api.advance(Duration::from_secs(6));
        operation
            .send(&tenant.owner, &tenant.names)
            .await
            .expect(operation.success);
        let own = ORDER
            .into_iter()
            .filter(|code| operation.has_problem(code) && *code != "not-found");
        for code in own {
            let answer = attempt(operation, &tenant, &[code], &operation.method).await;
            answer.problem(operation.problems[code], code);
        }
        let answer = attempt(operation, &tenant, &[], &operation.method).await;
        answer.problem(429, "too-many-requests");
        assert!(answer.header("retry-after").is_some());
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn every_code_that_is_tested_is_documented() {
    for code in ORDER.iter().chain(&OTHERS) {
        let mut all = operations().iter();
        assert!(all.any(|operation| operation.has_problem(code)), "{code}");
    }
}
