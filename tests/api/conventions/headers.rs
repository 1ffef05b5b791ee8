//! Headers of responses.

use std::{collections::BTreeSet, future::pending};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::{Router, body::Body, routing::get};
use http::{HeaderMap, Method, Request};
use lambda_http::{aws_lambda_events::apigw::ApiGatewayV2httpRequestContext, request::RequestContext};
use local::{fault::Fault, system::System};
use tower::ServiceExt;

use super::{Convention, assert_departures};
use crate::harness::{
    Answer, Api, DOMAINS,
    operations::{Names, Operation, SampleTenant, operations},
    setup_token,
};

/// What caches may do with a public response that has an `ETag`.
const CACHED: &str = "public, max-age=60, stale-while-revalidate=600, stale-if-error=86400";

/// What caches may do with a success of this operation.
fn caching(operation: &Operation) -> &'static str {
    match operation {
        _ if operation.public && operation.is_conditional() => CACHED,
        _ if operation.is_conditional() || operation.takes("header", "if-match") => "private, no-cache",
        _ if operation.public
            && !operation.path.contains('{')
            && operation.parameters("query").count() > 0 =>
        {
            "public, max-age=60"
        }
        _ => "no-store",
    }
}

/// What every response has.
fn assert_common(answer: &Answer, cache: &str) {
    assert_eq!(answer.header("cache-control"), Some(cache), "{answer:?}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let vary = match cache {
        "private, no-cache" => Some("authorization"),
        "no-store" => None,
        _ => Some("origin"),
    };
    assert_eq!(answer.header("vary"), vary, "{answer:?}");
    assert_eq!(
        answer.header("etag").is_some(),
        matches!(cache, "private, no-cache" | CACHED),
        "{answer:?}"
    );
    let once = |headers: &HeaderMap, name: &str| headers.get_all(name).iter().count() <= 1;
    for name in answer.headers.keys() {
        assert!(once(&answer.headers, name.as_str()), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn every_response_says_what_caches_may_do_and_has_a_request_id_of_its_own() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let mut ids = BTreeSet::new();
    let mut count = 0;
    let mut other_types = Vec::new();
    let mut note = |answer: &Answer| {
        count += 1;
        ids.insert(answer.header("x-request-id").unwrap().to_owned());
    };
    for operation in operations() {
        for user in [&api.visitor(), &tenant.owner] {
            for names in [&Names::absent(), &tenant.names] {
                let answer = operation.send(user, names).await;
                let success = answer.status.as_u16() == operation.success;
                assert_common(&answer, if success { caching(operation) } else { "no-store" });
                note(&answer);
                if success {
                    assert_eq!(
                        answer.text.is_empty(),
                        operation.media_type().is_none(),
                        "{answer:?}"
                    );
                    let sent = answer
                        .header("content-type")
                        .map(|kind| kind.split(';').next().unwrap());
                    assert_eq!(sent, operation.media_type(), "{}", operation.id);
                    if sent.is_some_and(|kind| kind != "application/json") {
                        other_types.push(operation.id.as_str());
                    }
                }
            }
        }
        let refused = operation.send_nonsense(&tenant.owner, &Names::absent()).await;
        note(&refused);
        let wrong = tenant
            .owner
            .raw("TRACE".parse().unwrap(), &operation.uri(&tenant.names), &[], "")
            .await;
        assert_common(&wrong, "no-store");
        note(&wrong);
    }
    assert_departures(Convention::IsJson, other_types);
    let nowhere = tenant.owner.get("/nowhere").await;
    assert_common(&nowhere, "no-store");
    note(&nowhere);
    let options = api
        .visitor()
        .raw("OPTIONS".parse().unwrap(), DOMAINS, &[], "")
        .await;
    assert_common(&options, "no-store");
    note(&options);
    assert_eq!(ids.len(), count);
}

/// The token of a setup link is in the path. It must not get into a referrer or a search engine.
#[tokio::test]
async fn every_response_below_a_setup_link_has_the_headers_that_keep_its_token() {
    let mut seen = BTreeSet::new();
    let mut note = |answer: &Answer| {
        for (name, value) in [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-robots-tag", "noindex"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
        seen.insert(answer.status.as_u16());
    };
    let api = Api::build(System::builder().counted().set("API_BASE_PATH", "/v1")).await;
    let owner = api.agency("org_acme").await;
    let domain = owner.custom_domain("portal.acme.test").await;
    let link = owner.setup_link(&domain).await;
    let page = format!("/v1/portal/setup/{}", setup_token(&link));
    let unknown = format!("/portal/setup/{}", "A".repeat(43));
    let form = ("content-type", "application/x-www-form-urlencoded");
    let visitor = api.visitor();
    for (method, path, headers) in [
        (Method::GET, page.clone(), &[][..]),
        (Method::HEAD, page.clone(), &[]),
        (Method::GET, page.clone(), &[("accept", "text/html")]),
        (Method::GET, format!("{page}/style.css"), &[]),
        (Method::GET, format!("{page}/records?format=text"), &[]),
        (Method::GET, format!("{page}/records"), &[]),
        (Method::GET, format!("{page}/nowhere"), &[]),
        (Method::GET, unknown.clone(), &[]),
        (Method::GET, unknown, &[("accept", "text/html")]),
        (Method::GET, "/portal/setup/guess".to_owned(), &[]),
        (Method::OPTIONS, page.clone(), &[]),
        (Method::DELETE, page.clone(), &[]),
        (Method::GET, format!("{page}/verify"), &[]),
        (Method::POST, format!("{page}/verify"), &[form]),
        (Method::POST, format!("{page}/verify"), &[]),
    ] {
        note(&visitor.raw(method, &path, headers, "").await);
    }
    api.inject(Fault::throttle().times(4));
    note(&visitor.get(&page).await);
    let unreadable = AttributeValue::S("red;}".to_owned());
    api.set_attribute("org_acme", "#2BRANDING", "primaryColor", unreadable)
        .await;
    note(&visitor.get(&page).await);
    let secret = "x".repeat(32);
    let closed = Api::with(&[("ORIGIN_SECRET", &secret)]).await;
    let request = Request::get("/portal/setup/guess").body(Body::empty()).unwrap();
    // As the gateway's own responses, that to a request without the secret is not in the document.
    let refused = closed.system.send(request).await;
    note(&Answer::read("/portal/setup/guess".to_owned(), refused).await);
    // Nothing here waits for a socket, so that the time can be paused.
    tokio::time::pause();
    let handlers = Router::new().route("/portal/setup/{token}", get(pending::<&str>));
    let edge = shared::http::service(handlers, api.app.clone());
    let request = Request::get(&page).body(Body::empty()).unwrap();
    note(&Answer::read(page, edge.oneshot(request).await.unwrap()).await);
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        [200, 204, 303, 400, 403, 404, 405, 429, 500, 503, 504]
    );
    let answer = api.visitor().get("/portal/branding?host=acme.test").await;
    assert_eq!(answer.header("x-robots-tag"), None);
}

/// So that a terminal shows its prompt on a line of its own.
#[tokio::test]
async fn every_body_ends_with_a_line_break() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    for operation in operations() {
        for user in [&api.visitor(), &tenant.owner] {
            for names in [&Names::absent(), &tenant.names] {
                let text = operation.send(user, names).await.text;
                assert!(
                    text.is_empty() || text.ends_with('\n'),
                    "{}: {text}",
                    operation.id
                );
            }
        }
        let refused = operation.send_nonsense(&tenant.owner, &tenant.names).await.text;
        assert!(refused.is_empty() || refused.ends_with('\n'), "{refused}");
    }
    assert!(tenant.owner.get("/nowhere").await.text.ends_with("}\n"));
}

#[tokio::test]
async fn behind_the_gateway_the_request_id_is_the_gateways() {
    let api = Api::start().await;
    let edge = shared::http::service(Router::new(), api.app.clone());
    let mut context = ApiGatewayV2httpRequestContext::default();
    context.request_id = Some("JKJaXmPLvHcESHA=".to_owned());
    let request = Request::get("/nowhere")
        .header("x-request-id", "mine")
        .extension(RequestContext::ApiGatewayV2(context));
    let response = edge.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let answer = Answer::read("/nowhere".to_owned(), response).await;
    assert_eq!(answer.header("x-request-id"), Some("JKJaXmPLvHcESHA="));
    // The problem repeats it.
    answer.problem(404, "not-found");
}

#[tokio::test]
async fn a_caller_does_not_choose_its_request_id() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let sent = [("x-request-id", "mine")];
    let answer = owner.call(
        "POST".parse().unwrap(),
        "/agency/clients",
        &sent,
        Some(serde_json::json!({"name": "A"})),
    );
    let answer = answer.await;
    answer.expect(201);
    assert_ne!(answer.header("x-request-id"), Some("mine"));
    assert_eq!(
        owner.audit().await[0]["requestId"].as_str(),
        answer.header("x-request-id")
    );
}
