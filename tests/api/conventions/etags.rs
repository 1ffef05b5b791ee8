//! Conditional requests.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use http::Method;
use local::fault::Fault;
use serde_json::json;

use crate::harness::{
    Answer, Api, BRANDING, CONFIG, CONTEXT, User, id,
    operations::{Names, Operation, SampleTenant, operations_where},
    property,
};

/// The operations that take `If-None-Match`.
fn conditional_reads() -> Vec<&'static Operation> {
    operations_where(Operation::is_conditional)
}

/// Those that need a token.
fn private_reads() -> Vec<&'static Operation> {
    operations_where(|operation| operation.is_conditional() && !operation.public)
}

/// The operations that take `If-Match`.
fn conditional_updates() -> Vec<&'static Operation> {
    operations_where(|operation| operation.takes("header", "if-match"))
}

async fn put(operation: &Operation, user: &User<'_>, names: &Names, tags: &[&[u8]]) -> Answer {
    let mut headers: Vec<_> = tags.iter().map(|tag| ("if-match", *tag)).collect();
    headers.push(("content-type", b"application/json"));
    let body = operation.body.as_ref().unwrap().to_string();
    let uri = operation.uri(names);
    user.raw_bytes(operation.method.clone(), &uri, &headers, body)
        .await
}

#[tokio::test]
async fn if_none_match_with_the_etag_is_304() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    for operation in conditional_reads() {
        let uri = operation.uri(&tenant.names);
        let first = tenant.owner.get(&uri).await;
        let tag = first.etag();
        let ask = async |values: &[&[u8]]| {
            let headers: Vec<_> = values.iter().map(|value| ("if-none-match", *value)).collect();
            tenant.owner.raw_bytes(Method::GET, &uri, &headers, "").await
        };
        let weak = format!("W/{tag}");
        let list = format!("\"a\" ,\t{weak} , \"c\"");
        for values in [
            &[tag.as_bytes()][..],
            &[weak.as_bytes()],
            &[list.as_bytes()],
            &[b"*"],
            &[b"\"a\"", tag.as_bytes()],
            &[b"garbage", tag.as_bytes()],
        ] {
            let answer = ask(values).await;
            assert_eq!((answer.status.as_u16(), &*answer.text), (304, ""), "{values:?}");
            assert_eq!(answer.etag(), tag);
            for name in ["cache-control", "vary"] {
                assert_eq!(answer.header(name), first.header(name), "{name}");
            }
            assert_eq!(answer.header("content-type"), None);
            assert_eq!(answer.header("content-length"), None);
            assert!(answer.header("x-request-id").is_some());
        }
        let bare = tag.trim_matches('"');
        let (lower, unclosed) = (format!("w/{tag}"), format!("\"{bare}"));
        for value in ["", "\"\"", "\"a\"", bare, &lower, &unclosed, "W/", ",", "\"*\""] {
            let answer = ask(&[value.as_bytes()]).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.text),
                (200, &first.text),
                "{value:?}"
            );
        }
        assert_eq!(ask(&[b"\"\xFF\""]).await.status, 200);
    }
}

#[tokio::test]
async fn if_none_match_is_ignored_where_there_is_no_etag() {
    let api = Api::stopped().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let any = [("if-none-match", "*")];
    for operation in operations_where(|operation| !operation.is_conditional()) {
        // A domain is checked once in 5 s.
        api.advance(Duration::from_secs(6));
        let answer = operation.send_with(&tenant.owner, &tenant.names, &any).await;
        assert_eq!(answer.status.as_u16(), operation.success, "{answer:?}");
    }
    for operation in private_reads() {
        let stranger = api.user("org_none", "owner");
        let refused = operation.send_with(&stranger, &tenant.names, &any).await;
        assert!(matches!(refused.status.as_u16(), 403 | 404), "{refused:?}");
        let refused = operation.send_with(&api.visitor(), &tenant.names, &any).await;
        refused.problem(401, "missing-token");
    }
}

#[tokio::test]
async fn an_if_match_that_does_not_match_is_412_and_changes_nothing() {
    let api = Api::start().await;
    let SampleTenant { owner, names, .. } = SampleTenant::new(&api, "org_acme", "acmeword").await;
    for operation in conditional_updates() {
        let uri = operation.uri(&names);
        let put = async |tags: &[&[u8]]| put(operation, &owner, &names, tags).await;
        let now = async || owner.get(&uri).await.etag();
        let old = now().await;
        let first = put(&[old.as_bytes()]).await;
        first.expect(200);
        assert_ne!(first.etag(), old);
        assert_eq!(first.etag(), now().await);
        put(&[old.as_bytes()]).await.problem(412, "stale");

        let list = format!("\"a\", {} ,{old}", now().await);
        put(&[list.as_bytes()]).await.expect(200);
        let values = [b"\"a\"".to_vec(), now().await.into()];
        let values: Vec<_> = values.iter().map(Vec::as_slice).collect();
        put(&values).await.expect(200);
        for values in [&[&b"*"[..]][..], &[b" * "], &[]] {
            put(values).await.expect(200);
        }

        let weak = format!("W/{}", now().await);
        put(&[weak.as_bytes()]).await.expect(200);

        let current = now().await;
        let (lower, bare) = (format!("w/{current}"), current.trim_matches('"'));
        let (unclosed, doubled) = (format!("\"{bare}"), format!("\"{current}\""));
        for value in [
            "",
            ",",
            "\"\"",
            "W/*",
            "\"*\"",
            "garbage",
            &lower,
            &weak,
            bare,
            &unclosed,
            &doubled,
            &bare.to_uppercase(),
            "\"a\", *",
            "*, *",
            "*,",
        ] {
            let answer = put(&[value.as_bytes()]).await;
            assert_eq!(answer.status, 412, "{value:?}");
            answer.problem(412, "stale");
        }
        for values in [&[&b"*"[..], b"\"a\""][..], &[b"\"\xFF\""]] {
            put(values).await.problem(412, "stale");
        }
        assert_eq!(now().await, current);
        // The tag names a write: its hash of the content does not matter.
        let (write, _) = current.split_once('.').unwrap();
        put(&[format!("{write}.other\"").as_bytes()]).await.expect(200);
    }
}

#[tokio::test]
async fn every_accepted_put_makes_a_new_etag_and_no_etag_comes_back() {
    let api = Api::start().await;
    let SampleTenant { owner, names, .. } = SampleTenant::new(&api, "org_acme", "acmeword").await;
    for operation in conditional_updates() {
        let path = &operation.uri(&names);
        let example = operation.body.clone().unwrap();
        let mut cleared = example.clone();
        let values = cleared.as_object_mut().unwrap().values_mut();
        values.for_each(|value| *value = json!(null));
        let mut tags = vec![owner.get(path).await.etag()];
        for body in [
            &example,
            &cleared,
            &example,
            &cleared,
            &cleared,
            &json!({}),
            &json!({}),
        ] {
            let answer = owner.put(path, body.clone()).await;
            answer.expect(200);
            assert_eq!(
                owner.get(path).await.etag(),
                answer.etag(),
                "a read changes nothing"
            );
            tags.push(answer.etag());
        }
        // A member sees the same ETag, and a rejected change makes none.
        owner
            .put(path, json!({"x": 1}))
            .await
            .problem(422, "invalid-body");
        let member = api.user("org_acme", "member").get(path).await;
        assert_eq!(member.etag(), *tags.last().unwrap());
        let distinct: BTreeSet<_> = tags.iter().collect();
        assert_eq!(distinct.len(), tags.len());
    }
}

#[tokio::test]
async fn the_etag_of_the_context_follows_its_content() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    let context = async || acme.get(CONTEXT).await.etag();
    let put = async |path: &str, name: &str, value: serde_json::Value| {
        acme.put(path, property(name, value)).await.expect(200);
    };
    let empty = context().await;
    acme.put(BRANDING, json!({})).await.expect(200);
    assert_eq!(context().await, empty, "the content is the same");
    put(BRANDING, "footerText", json!("x")).await;
    assert_ne!(context().await, empty);
    put(BRANDING, "footerText", json!("")).await;
    assert_eq!(context().await, empty, "the content is as before");
    put(CONFIG, "featureLogs", json!(false)).await;
    assert_ne!(context().await, empty);
    put(CONFIG, "featureLogs", json!(null)).await;
    acme.subdomain("acme").await;
    assert_ne!(context().await, empty);
}

#[tokio::test]
async fn the_etag_of_a_public_response_follows_its_content() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    for operation in operations_where(|operation| operation.is_conditional() && operation.public) {
        let tag = async || operation.send(&api.visitor(), &tenant.names).await.etag();
        let put = async |color: &str| {
            let body = property("primaryColor", json!(color));
            tenant.owner.put(BRANDING, body).await.expect(200);
        };
        let first = tag().await;
        put("#345678").await;
        let is_branding = operation.path.starts_with("/portal/");
        assert_eq!(tag().await != first, is_branding, "{}", operation.id);
        put("#123abc").await;
        assert_eq!(tag().await, first, "{}: the content is as before", operation.id);
    }
}

#[tokio::test]
async fn the_etag_of_a_clients_branding_follows_the_warnings_and_if_match_does_not() {
    let api = Api::start().await;
    let SampleTenant { owner, names, .. } = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let uri = format!("/agency/clients/{}/branding", names.client);
    let put = async |color: &str| owner.put(BRANDING, property("accentColor", json!(color))).await;
    put("#777777").await.expect(200);
    let before = owner.get(&uri).await;
    put("#ffffff").await.expect(200);
    let headers = [("if-none-match", before.etag())];
    let headers = headers.each_ref().map(|(name, tag)| (*name, tag.as_str()));
    let after = owner.call(Method::GET, &uri, &headers, None).await;
    assert_ne!(after.expect(200)["warnings"], before.json()["warnings"]);
    // The client's own settings are those that the caller has seen.
    let headers = [("if-match", headers[0].1)];
    let body = Some(json!({"accentColor": "#777777"}));
    owner.call(Method::PUT, &uri, &headers, body).await.expect(200);
}

#[tokio::test]
async fn an_etag_tells_nothing_across_tenants() {
    let api = Api::start().await;
    let acme = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let globex = SampleTenant::new(&api, "org_globex", "globexword").await;
    let other = acme.owner.client("Other").await;
    let users = [
        (acme.owner.clone(), acme.names.clone()),
        (globex.owner.clone(), globex.names.clone()),
        (api.user(&acme.names.client, "member"), Names::absent()),
        (api.user(id(&other), "member"), Names::absent()),
    ];
    for round in 0..2 {
        for operation in private_reads() {
            let mut tags = BTreeSet::new();
            let mut count = 0;
            for (user, names) in &users {
                let answer = operation.send(user, names).await;
                if answer.status == 200 {
                    count += 1;
                    tags.insert(answer.etag());
                }
            }
            assert!(count >= 2);
            assert_eq!(tags.len(), count, "{} {round}", operation.id);
            for tag in &tags {
                let headers = [("if-none-match", tag.as_str())];
                let answer = operation.send_with(&acme.owner, &acme.names, &headers).await;
                let is_own = *tag == operation.send(&acme.owner, &acme.names).await.etag();
                assert_eq!(answer.status, if is_own { 304 } else { 200 });
            }
        }
        for operation in conditional_updates() {
            let theirs = operation.uri(&globex.names);
            let theirs = globex.owner.get(&theirs).await.etag();
            put(operation, &acme.owner, &acme.names, &[theirs.as_bytes()])
                .await
                .problem(412, "stale");
            // The next round compares tenants with equal settings.
            for tenant in [&acme, &globex] {
                put(operation, &tenant.owner, &tenant.names, &[])
                    .await
                    .expect(200);
            }
        }
    }
}

#[tokio::test]
async fn of_eight_puts_with_the_same_etag_one_succeeds() {
    let api = Api::counted().await;
    let SampleTenant { owner, names, .. } = SampleTenant::new(&api, "org_acme", "acmeword").await;
    for operation in conditional_updates() {
        let uri = operation.uri(&names);
        let entries = owner.audit().await.len();
        let tag = owner.get(&uri).await.etag();
        api.inject(Fault::conflict().on("TransactWriteItems").times(4));
        let tags = [tag.as_bytes()];
        let answers = join_all((0..8).map(|_| put(operation, &owner, &names, &tags))).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!((won.len(), lost.len()), (1, 7));
        for answer in lost {
            answer.problem(412, "stale");
        }
        let now = owner.get(&uri).await;
        assert_eq!((now.etag(), now.json()), (won[0].etag(), won[0].json()));
        assert_eq!(
            owner.audit().await.len(),
            entries + 1,
            "a rejection leaves no entry"
        );
    }
}

#[tokio::test]
async fn an_own_write_whose_response_was_lost_does_not_make_an_if_match_stale() {
    for operation in conditional_updates() {
        let api = Api::counted().await;
        let SampleTenant { owner, names, .. } = SampleTenant::new(&api, "org_acme", "acmeword").await;
        let uri = operation.uri(&names);
        let entries = owner.audit().await.len();
        let tag = owner.get(&uri).await.etag();
        api.inject(Fault::lose_answer().on("TransactWriteItems"));
        api.inject(Fault::conflict().on("TransactWriteItems"));
        let answer = put(operation, &owner, &names, &[tag.as_bytes()]).await;
        answer.expect(200);
        assert_eq!(owner.get(&uri).await.etag(), answer.etag());
        let again = put(operation, &owner, &names, &[tag.as_bytes()]).await;
        again.problem(412, "stale");
        assert_eq!(owner.audit().await.len(), entries + 1);
        api.assert_faults_met();
    }
}
