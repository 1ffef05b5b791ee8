//! The events of `events/`, against each function's own handler.

use std::collections::BTreeSet;

use local::system::System;
use serde_json::Value;

use crate::harness::{
    events::{build, invoke, json, replay},
    operations::operations,
};

/// Whether `whole` contains `part`: objects may have more properties, lists may not be longer.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(name, part)| whole.get(name).is_some_and(|whole| contains(whole, part))),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| contains(whole, part))
        }
        _ => whole == part,
    }
}

#[tokio::test]
async fn every_event_of_every_operation_gets_its_response() {
    let system = build(System::builder()).await;
    let mut succeeded = BTreeSet::new();
    replay(&system, |step, event, returned| {
        let body = &returned.body;
        assert_eq!(returned.status, step["status"].as_i64().unwrap(), "{step} {body}");
        let request_id = event["requestContext"]["requestId"].as_str().unwrap();
        assert_eq!(
            returned.headers["x-request-id"], request_id,
            "the gateway's own id"
        );
        if let Some(part) = step.get("body") {
            let body: Value = serde_json::from_str(body).unwrap_or_default();
            assert!(contains(&body, part), "{step} {body}");
        }
        if let Some(part) = step["contains"].as_str() {
            assert!(body.contains(part), "{step} {body}");
        }
        if returned.status < 400 {
            let (_, id) = step["event"].as_str().unwrap().split_once('/').unwrap();
            succeeded.insert(id.to_owned());
        }
    })
    .await;
    let all: BTreeSet<_> = operations()
        .iter()
        .map(|operation| operation.id.clone())
        .collect();
    assert_eq!(succeeded, all);
}

#[tokio::test]
async fn events_that_are_no_valid_http_requests_get_a_response() {
    let system = build(System::builder()).await;
    let event = |change: &dyn Fn(&mut Value)| {
        let mut event = json("portal/checkTls.json");
        change(&mut event);
        event
    };
    for query in [
        "domain=a b",
        "domain=\"",
        "domain=<",
        "domain=\u{7f}",
        "domain=%zz&x=ü",
        "domain=a#b",
        "|",
        "",
    ] {
        let event = event(&|event| event["rawQueryString"] = query.into());
        let answer = invoke(&system.app, "portal", event).await;
        assert!(matches!(answer.status, 400 | 404), "{query:?}: {}", answer.status);
    }
    for host in [
        "a b",
        "",
        "[",
        "a\u{e9}",
        "x:y:z",
        "a.com:99999",
        "xn--a.com",
        "1.2.3.999",
    ] {
        let event = event(&|event| event["headers"]["host"] = host.into());
        let answer = invoke(&system.app, "portal", event).await;
        assert_eq!(answer.status, 404, "{host:?}");
    }
    invoke(&system.app, "agency", json("agency/enableAgency.json")).await;
    let mut event = json("branding/putBranding.json");
    event["isBase64Encoded"] = true.into();
    event["body"] = "%%%".into();
    assert_eq!(invoke(&system.app, "branding", event).await.status, 400);
    for (header, value, status) in [
        ("authorization", "Bearer a\u{7f}", 401),
        ("if-match", "\"a\u{7f}\"", 412),
        ("content-type", "application/json\u{7f}", 415),
        ("user-agent", "curl\u{1}", 200),
        ("x-\u{7f}", "x", 200),
    ] {
        let mut event = json("branding/putBranding.json");
        event["headers"][header] = value.into();
        let answer = invoke(&system.app, "branding", event).await;
        assert_eq!(answer.status, status, "{header}: {}", answer.body);
    }
    for path in [
        "/agency/clients/../overview",
        "/agency/clients/a/b",
        "/agency/clients/a?b",
        "/agency/clients/\\",
        "",
        "//",
        "/agency/clients/%",
    ] {
        let mut event = json("clients/getClientOrg.json");
        event["rawPath"] = path.into();
        let answer = invoke(&system.app, "clients", event).await;
        assert!(matches!(answer.status, 403 | 404), "{path:?}: {}", answer.status);
    }
}
