//! Request bodies: the media type, the size, the JSON, and what every property has in common.

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

use super::{Convention, assert_departures};
use crate::harness::{
    Answer, Api, BRANDING, CLIENTS, JSON, User,
    operations::{Names, Operation, SampleTenant, operations, operations_where},
    property,
};

const MAX_BODY: usize = 64 * 1024;

fn with_a_body() -> Vec<&'static Operation> {
    operations_where(|operation| operation.body.is_some())
}

async fn put(user: &User<'_>, body: impl Into<Body>) -> Answer {
    user.raw(Method::PUT, BRANDING, &JSON, body).await
}

#[tokio::test]
async fn every_operation_with_a_body_rejects_one_without_a_type_and_one_that_is_empty() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    for operation in with_a_body() {
        let (method, uri) = (&operation.method, operation.uri(&tenant.names));
        for body in [operation.body.as_ref().unwrap().to_string(), String::new()] {
            let untyped = tenant.owner.raw(method.clone(), &uri, &[], body).await;
            untyped.problem(415, "unsupported-media-type");
        }
        let empty = tenant.owner.raw(method.clone(), &uri, &JSON, "").await;
        empty.problem(400, "invalid-json");
    }
}

#[tokio::test]
async fn an_operation_without_a_body_ignores_body_and_type() {
    let mut bodiless = Vec::new();
    for operation in operations().iter().filter(|operation| operation.body.is_none()) {
        if matches!(operation.method.as_str(), "POST" | "PUT" | "PATCH") {
            bodiless.push(operation.id.as_str());
        }
        for (kind, body) in [
            ("text/plain", b"{".to_vec()),
            ("application/json", b"{\"a\":1,\"a\":2}".to_vec()),
            ("application/json; charset=latin1", "\u{FEFF}".into()),
            ("x", vec![0xFF; MAX_BODY + 1]),
        ] {
            let api = Api::start().await;
            let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
            let (method, uri) = (operation.method.clone(), operation.uri(&tenant.names));
            let headers = [("content-type", kind)];
            let answer = tenant.owner.raw(method, &uri, &headers, body).await;
            let deletes_an_owner = operation.method == Method::DELETE && answer.status == 409;
            assert!(
                answer.status.as_u16() == operation.success || deletes_an_owner,
                "{answer:?}"
            );
        }
    }
    assert_departures(Convention::HasRequestBody, bodiless);
}

#[tokio::test]
async fn a_body_is_json_by_its_media_type() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let put = async |kinds: &[&str]| {
        let headers: Vec<_> = kinds.iter().map(|kind| ("content-type", *kind)).collect();
        owner.raw(Method::PUT, BRANDING, &headers, "{}").await
    };
    for kind in [
        "application/json",
        "Application/JSON",
        "application/json;charset=UTF-8",
        "application/json ; charset=\"Utf-8\"",
        "application/json; profile=x",
    ] {
        put(&[kind]).await.expect(200);
    }
    for kinds in [
        &[][..],
        &[""],
        &["text/json"],
        &["application/jsonp"],
        &["application/merge-patch+json"],
        &["application/x-www-form-urlencoded"],
        &["application/*"],
        &["json"],
        &["application/json; charset=utf-16"],
        &["application/json; charset=utf-8; charset=latin1"],
        &["application/json, application/json"],
        &["application/json", "application/json"],
        &["application/json", "text/plain"],
    ] {
        let answer = put(kinds).await;
        assert_eq!(answer.status, 415, "{kinds:?}");
        answer.problem(415, "unsupported-media-type");
    }
}

#[tokio::test]
async fn a_body_is_not_encoded() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let put = async |encodings: &[&str]| {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(encodings.iter().map(|encoding| ("content-encoding", *encoding)));
        owner.raw(Method::PUT, BRANDING, &headers, "{}").await
    };
    for encodings in [&[][..], &["identity"], &["Identity"]] {
        put(encodings).await.expect(200);
    }
    for encodings in [
        &["gzip"][..],
        &["br"],
        &[""],
        &["identity, gzip"],
        &["identity", "gzip"],
    ] {
        put(encodings).await.problem(415, "unsupported-media-type");
    }
    let headers = [("content-encoding", "gzip")];
    owner
        .raw(Method::POST, "/agency/enable", &headers, "x")
        .await
        .expect(200);
}

#[tokio::test]
async fn a_body_has_at_most_64_kib() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let padded = |bytes: usize| format!("{{}}{}", " ".repeat(bytes - 2));
    put(&owner, padded(MAX_BODY)).await.expect(200);
    // Bytes count, not characters.
    let wide = |characters: usize| json!({"footerText": "é".repeat(characters)}).to_string();
    let answer = put(&owner, wide(MAX_BODY / 2 - 20)).await;
    answer.expect_faults(&[("/footerText", "too-long")]);
    // A body of unknown length is cut off, whatever its chunks are.
    let chunks = || futures::stream::repeat_with(|| Ok::<_, std::io::Error>("[[[[[[[["));
    let limited = futures::StreamExt::take(chunks(), MAX_BODY / 8 + 1);
    for body in [
        padded(MAX_BODY + 1).into(),
        wide(MAX_BODY / 2).into(),
        Body::from_stream(limited),
        Body::from_stream(chunks()),
    ] {
        put(&owner, body).await.problem(413, "body-too-large");
    }
    let broken = futures::stream::iter([Ok("{"), Err(std::io::Error::other("a secret"))]);
    let answer = put(&owner, Body::from_stream(broken)).await;
    answer.problem(400, "invalid-json");
    assert!(!answer.text.contains("secret"));
}

#[tokio::test]
async fn a_body_that_is_not_json_is_400_and_changes_nothing() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for body in [
        &b" "[..],
        b"{",
        b"{} {}",
        b"{}\0",
        "\u{FEFF}{}".as_bytes(),
        b"{'footerText':'x'}",
        b"{\"footerText\":\"x\",}",
        b"{\"footerText\":NaN}",
        b"{\"footerText\":01}",
        // Half of a surrogate pair is not a character.
        b"{\"footerText\":\"\\ud800\"}",
        b"{\"footerText\":\"\xFF\"}",
        b"{\"x\":1e999999999999}",
        // Duplicate names, in any spelling and at any depth.
        b"{\"footerText\":\"a\",\"footer\\u0054ext\":\"b\"}",
        b"{\"x\":[[{\"y\":{\"\":1,\"\":1}}]]}",
        "[".repeat(MAX_BODY).as_bytes(),
        "{\"a\":".repeat(10_000).as_bytes(),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer = put(&owner, body.to_vec()).await;
        assert_eq!(answer.status, 400, "{shown:?}: {answer:?}");
        answer.problem(400, "invalid-json");
    }
    assert_eq!(owner.audit().await.len(), 1, "that of enable");
}

#[tokio::test]
async fn invalid_json_is_told_with_its_place_and_without_its_text() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for (body, place) in [
        ("{\n  \"secret\" 1}", "line 2, column 12"),
        ("{\"secret\":1,\"secret\":2}", "line 1, column 23"),
    ] {
        let answer = put(&owner, body).await;
        let problem = answer.problem(400, "invalid-json");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(place), "{detail}");
        assert!(!answer.text.contains("secret"), "{detail}");
    }
}

#[tokio::test]
async fn json_is_read_in_any_spelling() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let body = " \t\r\n{ \"footer\\u0054ext\" : \"\\ud83d\\ude00\\/\" }\n";
    let branding = put(&owner, body).await.expect(200);
    assert_eq!(branding["footerText"], "\u{1F600}/");
    for value in ["18446744073709551616", "1e300", "-0.0"] {
        let answer = put(&owner, format!("{{\"footerText\":{value}}}")).await;
        answer.expect_faults(&[("/footerText", "wrong-type")]);
    }
}

#[tokio::test]
async fn a_body_that_is_not_an_object_has_the_wrong_type() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    for operation in with_a_body() {
        for body in [
            json!(null),
            json!([]),
            json!([{}]),
            json!("x"),
            json!(-1.5),
            json!(true),
        ] {
            let (method, uri) = (operation.method.clone(), operation.uri(&tenant.names));
            let answer = tenant.owner.call(method, &uri, &[], Some(body)).await;
            answer.expect_faults(&[("", "wrong-type")]);
        }
    }
}

#[tokio::test]
async fn a_property_of_another_type_is_rejected_at_its_pointer() {
    let api = Api::with(&[("PORTAL_FEATURES", "invoices=true")]).await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let values = [
        ("boolean", json!(true)),
        ("integer", json!(7)),
        ("number", json!(1.5)),
        ("string", json!("true")),
        ("array", json!(["#fff"])),
        ("object", json!({"value": "x"})),
    ];
    for operation in with_a_body() {
        let before = tenant.everything().await;
        let mut sent = 0;
        for (name, types) in operation.properties() {
            assert!(!types.is_empty(), "{} {name}", operation.id);
            for (kind, value) in &values {
                let (method, uri) = (operation.method.clone(), operation.uri(&tenant.names));
                if types.contains(kind) {
                    continue;
                }
                let body = property(name, value.clone());
                let answer = tenant.owner.call(method, &uri, &[], Some(body)).await;
                let expected = (format!("/{name}"), "wrong-type".to_owned());
                assert!(answer.faults().contains(&expected), "{name} {value}: {answer:?}");
                sent += 1;
            }
        }
        assert!(sent > 0);
        assert_eq!(tenant.everything().await, before, "{}", operation.id);
    }
}

#[tokio::test]
async fn an_unknown_property_is_rejected_at_its_pointer() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let names = [
        "",
        "/",
        "~",
        "~1",
        "~01",
        "a b",
        "a\"b\\c",
        "日本",
        "\0",
        "%2F",
        "__proto__",
        "PK",
        "entity",
        "writeId",
    ];
    for operation in with_a_body() {
        let known = operation.properties().into_keys();
        // The right name in the wrong case.
        let cased = known.map(str::to_uppercase);
        for name in names.map(str::to_owned).into_iter().chain(cased) {
            let mut body = operation.body.clone().unwrap();
            body[&name] = json!("here");
            let (method, uri) = (operation.method.clone(), operation.uri(&tenant.names));
            let answer = tenant.owner.call(method, &uri, &[], Some(body.clone())).await;
            let faults = answer.faults();
            let [(pointer, code)] = &faults[..] else {
                panic!("{name:?}: {answer:?}")
            };
            assert_eq!(code, "unknown-property");
            assert_eq!(
                body.pointer(pointer),
                Some(&json!("here")),
                "{name:?}: {pointer:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_problem_lists_at_most_100_errors() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let body = (0..5000).map(|n| (format!("p{n}"), json!(1)));
    let body: Value = body.collect::<serde_json::Map<_, _>>().into();
    assert_eq!(owner.put(BRANDING, body.clone()).await.faults().len(), 100);
    // So do those inside a property.
    let body = json!({"name": "Acme", "metadata": body});
    assert_eq!(owner.post(CLIENTS, body).await.faults().len(), 100);
}

#[tokio::test]
async fn an_update_takes_back_what_get_returned_and_ignores_read_only_properties() {
    let api = Api::with(&[("PORTAL_FEATURES", "invoices=true")]).await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let updates = operations_where(|operation| matches!(operation.method.as_str(), "PUT" | "PATCH"));
    for operation in updates {
        let uri = operation.uri(&tenant.names);
        operation.send(&tenant.owner, &tenant.names).await.expect(200);
        let got = tenant.owner.get(&uri).await.expect(200);
        let without_time = |resource: &Value| {
            let mut resource = resource.clone();
            resource["updatedAt"] = Value::Null;
            resource
        };
        let settable = operation.properties();
        for nonsense in [
            None,
            Some(json!("org_other")),
            Some(json!({"a": [7]})),
            Some(Value::Null),
        ] {
            let mut body = got.clone();
            let mut read_only = 0;
            for (name, value) in body.as_object_mut().unwrap() {
                if !settable.contains_key(name.as_str()) {
                    read_only += 1;
                    *value = nonsense.clone().unwrap_or_else(|| value.clone());
                }
            }
            assert!(read_only > 2, "{body}");
            let (method, names) = (operation.method.clone(), &tenant.names);
            let answer = tenant
                .owner
                .call(method, &operation.uri(names), &[], Some(body))
                .await;
            assert_eq!(without_time(&answer.expect(200)), without_time(&got));
        }
    }
}

/// A creation has no read-only properties: the caller has not received any yet.
#[tokio::test]
async fn a_creation_rejects_the_properties_that_the_api_sets() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for operation in operations_where(|operation| operation.creates()) {
        let created = operation.send(&owner, &Names::absent()).await.expect(201);
        let settable = operation.properties();
        let set = created.as_object().unwrap().keys();
        let set: Vec<_> = set.filter(|name| !settable.contains_key(name.as_str())).collect();
        assert!(set.len() > 2, "{created}");
        for name in set {
            let mut body = operation.body.clone().unwrap();
            body[name] = Value::Null;
            let answer = owner.post(&operation.path, body).await;
            answer.expect_faults(&[(&format!("/{name}"), "unknown-property")]);
        }
    }
}
