//! Faults that are not the caller's: `500`, `503` and `504`, and what they do not tell.

use std::{
    collections::BTreeSet,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use http::{Method, Request};
use local::{fault::Fault, system::System};
use serde_json::json;
use tower::ServiceExt;

use super::{Convention, assert_departures};
use crate::harness::{
    Answer, Api, BRANDING, CONFIG, CONTEXT, NO_CLIENT,
    operations::{Names, Operation, SampleTenant, operations},
    path,
};

/// Words that would tell what is behind the API.
const INNER_WORDS: [&str; 12] = [
    "dynamo",
    "table",
    "test-",
    "throttl",
    "exceeds",
    "transaction",
    "aws",
    "exception",
    "#1config",
    "panick",
    ".rs",
    "127.0.0.1",
];

/// A problem with this status that tells nothing of the inside.
#[track_caller]
fn assert_discreet(answer: &Answer, status: u16, code: &str) {
    answer.problem(status, code);
    // The token of a setup link is random.
    let text = answer.text.replace(&answer.path, "").to_lowercase();
    for word in INNER_WORDS {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

#[tokio::test]
async fn an_unavailable_table_is_503_and_the_next_request_succeeds() {
    let mut unaffected = BTreeSet::new();
    for fault in [Fault::throttle, Fault::internal_error, Fault::lose_request] {
        for operation in operations() {
            let api = Api::counted().await;
            let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
            // The SDK sends a request up to four times.
            api.inject(fault().times(4));
            let answer = operation.send(&tenant.owner, &tenant.names).await;
            if answer.status.as_u16() == operation.success {
                unaffected.insert(operation.id.as_str());
                continue;
            }
            assert_discreet(&answer, 503, "unavailable");
            assert_eq!(answer.header("retry-after"), Some("1"), "{}", operation.id);
            api.assert_faults_met();
            let again = operation.send(&tenant.owner, &tenant.names).await;
            assert_eq!(again.status.as_u16(), operation.success, "{again:?}");
        }
    }
    assert_departures(Convention::ReadsTheTable, unaffected);
}

#[tokio::test]
async fn every_server_error_of_the_table_is_503() {
    for (status, code) in [
        (500, "InternalFailure"),
        (503, "ServiceUnavailableException"),
        (500, "Unlisted"),
        (505, "Unlisted"),
    ] {
        for writes in [false, true] {
            let api = Api::counted().await;
            let owner = api.agency("org_acme").await;
            api.inject(Fault::server_error(status, code).times(4));
            let answer = match writes {
                true => owner.put(BRANDING, json!({})).await,
                false => owner.get(BRANDING).await,
            };
            assert_discreet(&answer, 503, "unavailable");
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
    }
}

#[tokio::test]
async fn a_passing_fault_of_the_table_is_not_noticed() {
    for fault in [
        Fault::throttle,
        Fault::internal_error,
        Fault::lose_request,
        Fault::lose_answer,
    ] {
        let api = Api::counted().await;
        let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
        for user in [&tenant.owner, &api.user(&tenant.names.client, "member")] {
            for operation in operations().iter().filter(|operation| operation.reads()) {
                let expected = operation.send(user, &tenant.names).await.status;
                // As many as the operation sends, at most two: each is repeated once.
                let requests = api.proxy().take_requests().len().min(2);
                if requests > 0 && expected == 200 {
                    api.inject(fault().times(requests));
                }
                let answer = operation.send(user, &tenant.names).await;
                assert_eq!(answer.status, expected, "{answer:?}");
                api.assert_faults_met();
                api.proxy().take_requests();
            }
        }
    }
}

#[tokio::test]
async fn keys_that_a_batch_leaves_unprocessed_are_requested_again() {
    let api = Api::build(
        System::builder()
            .counted()
            .retry_budget(Duration::from_millis(200)),
    )
    .await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("One").await;
    api.proxy().take_requests();
    api.inject(Fault::unprocessed());
    assert_eq!(owner.get(&path(&client)).await.expect(200), client);
    let requests = api.proxy().take_requests();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert_eq!(request.body["RequestItems"][api.table()]["ConsistentRead"], true);
    }
    api.inject(Fault::unprocessed());
    let missing = format!("/agency/clients/{NO_CLIENT}");
    owner.get(&missing).await.problem(404, "not-found");
    api.inject(Fault::unprocessed());
    let stranger = api.user("org_other", "owner");
    stranger
        .get(&path(&client))
        .await
        .problem(403, "agency-not-enabled");
    api.assert_faults_met();
}

#[tokio::test]
async fn a_fault_of_the_system_is_500_and_tells_nothing() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let delete = api.client.delete_table().table_name(api.table());
    delete.send().await.unwrap();
    let mut unaffected = Vec::new();
    for operation in operations() {
        let answer = operation.send(&tenant.owner, &tenant.names).await;
        if answer.status.as_u16() == operation.success {
            unaffected.push(operation.id.as_str());
        } else {
            assert_discreet(&answer, 500, "internal");
            assert_eq!(answer.header("retry-after"), None);
        }
    }
    assert_departures(Convention::ReadsTheTable, unaffected);
}

#[tokio::test]
async fn an_item_that_cannot_be_read_is_500_and_not_shown() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.subdomain("acme").await;
    let unreadable = AttributeValue::S("red;}".to_owned());
    api.set_attribute("org_acme", "#2BRANDING", "primaryColor", unreadable)
        .await;
    for path in [BRANDING, CONTEXT, "/portal/theme.css?host=acme.portal.localhost"] {
        let answer = owner.get(path).await;
        assert_discreet(&answer, 500, "internal");
        assert!(!answer.text.contains("red"), "{}", answer.text);
    }
    owner.get(CONFIG).await.expect(200);
}

/// The response of these handlers, behind what is in front of every function's.
async fn behind_the_edge(api: &Api, method: Method, handlers: Router<shared::app::App>) -> Answer {
    let edge = shared::http::service(handlers, api.app.clone());
    let path = "/agency/overview".to_owned();
    let request = Request::builder().method(method).uri(&path);
    let response = edge.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    Answer::read(path, response).await
}

#[tokio::test]
async fn a_panic_is_500_and_the_next_request_is_answered() {
    let api = Api::start().await;
    let count = Arc::new(AtomicUsize::new(0));
    let handler = get(async move || {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            panic!("a secret of the table");
        }
        "fine"
    });
    let handlers = Router::new().route("/agency/overview", handler);
    let answer = behind_the_edge(&api, Method::GET, handlers.clone()).await;
    assert_discreet(&answer, 500, "internal");
    assert!(!answer.text.contains("secret"));
    assert_eq!(behind_the_edge(&api, Method::GET, handlers).await.text, "fine");
}

#[tokio::test]
async fn a_request_is_504_after_14_seconds() {
    let api = Api::start().await;
    let handlers = Router::new().route("/agency/overview", post(pending::<&str>).get(pending::<&str>));
    // Nothing here waits for a socket, so that the time can be paused.
    tokio::time::pause();
    for method in [Method::GET, Method::POST, Method::HEAD] {
        let since = tokio::time::Instant::now();
        let answer = behind_the_edge(&api, method.clone(), handlers.clone()).await;
        assert_eq!(answer.status, 504);
        let waited = since.elapsed();
        assert!((14_000..14_100).contains(&waited.as_millis()), "{waited:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        if method != Method::HEAD {
            answer.problem(504, "timeout");
        }
    }
}

/// A probe must not depend on anything.
#[tokio::test]
async fn an_operation_that_cannot_fail_sends_the_table_nothing() {
    let api = Api::counted().await;
    let cannot_fail = |operation: &&Operation| !operation.has_problem("unavailable");
    let mut count = 0;
    for operation in operations().iter().filter(cannot_fail) {
        for user in [api.visitor(), api.with_token("x")] {
            let answer = operation.send(&user, &Names::absent()).await;
            assert_eq!(answer.status.as_u16(), operation.success);
        }
        count += 1;
    }
    assert!(count > 0);
    assert_eq!(api.proxy().count(), 0);
}
