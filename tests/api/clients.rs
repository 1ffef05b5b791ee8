//! Client organizations.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use futures::future::join_all;
use http::Method;
use local::system::System;
use serde_json::{Value, json};
use shared::store::keys;
use uuid::Uuid;

use crate::harness::{Api, User};

/// 2026-09-10T00:53:20Z and some milliseconds.
const NOW: i64 = 1_789_001_600_123;

const NOBODY: &str = "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";

fn path(client: &Value) -> String {
    format!("/agency/clients/{}", client["id"].as_str().unwrap())
}

fn fault(pointer: &str, code: &str) -> (String, String) {
    (pointer.to_owned(), code.to_owned())
}

/// The clients that have a slug: one or none.
async fn by_slug(user: &User<'_>, slug: &str) -> Value {
    let page = user
        .get(&format!("/agency/clients?slug={slug}"))
        .await
        .expect(200);
    assert_eq!(page["nextCursor"], Value::Null);
    page["items"].clone()
}

async fn create(user: &User<'_>, name: &str, slug: &str) -> Value {
    let body = json!({"name": name, "slug": slug});
    user.post("/agency/clients", body).await.expect(201)
}

#[tokio::test]
async fn a_client_comes_with_every_property_and_its_place() {
    let api = Api::build(System::builder().at(NOW)).await;
    let owner = api.agency("org_acme").await;
    let body = json!({"name": " Müller & Söhne ", "slug": "mueller"});
    let answer = owner.post("/agency/clients", body).await;
    let client = answer.expect(201);
    let id = client["id"].as_str().unwrap();
    assert_eq!(
        client,
        json!({
            "id": id,
            "agencyId": "org_acme",
            "name": "Müller & Söhne",
            "slug": "mueller",
            "createdAt": "2026-09-10T00:53:20Z",
            "updatedAt": "2026-09-10T00:53:20Z",
        })
    );
    let uuid = Uuid::parse_str(id.strip_prefix("cli_").unwrap()).unwrap();
    assert_eq!(uuid.get_version_num(), 7);
    assert_eq!(uuid.hyphenated().to_string(), id["cli_".len()..]);
    assert_eq!(answer.header("location"), Some(path(&client).as_str()));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("idempotency-replayed"), None);

    assert_eq!(owner.get(&path(&client)).await.expect(200), client);
    assert_eq!(by_slug(&owner, "mueller").await, json!([client]));
    let list = owner.get("/agency/clients").await.expect(200);
    assert_eq!(list, json!({"items": [client], "nextCursor": null}));
}

#[tokio::test]
async fn the_place_has_the_prefix_that_paths_may_have() {
    let api = Api::build(System::builder().set("API_BASE_PATH", "/api")).await;
    let owner = api.user("org_acme", "owner");
    owner.post("/api/agency/enable", Value::Null).await.expect(200);
    let body = json!({"name": "One"});
    let answer = owner.post("/api/agency/clients", body).await;
    let client = answer.expect(201);
    let location = format!("/api{}", path(&client));
    assert_eq!(answer.header("location"), Some(location.as_str()));
    assert_eq!(owner.get(&location).await.expect(200), client);
}

#[tokio::test]
async fn names_are_one_line_of_1_to_100_characters() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = create(&owner, "Old", "old").await;
    let (longest, longer) = ("é".repeat(100), "é".repeat(101));
    for (name, stored) in [
        ("A", "A"),
        ("  Acme\u{3000}Inc \t\r\n", "Acme\u{3000}Inc"),
        ("\u{FEFF}\u{200B} Acme \u{200B}", "Acme"),
        ("<b>&amp;</b> \"'`${x}", "<b>&amp;</b> \"'`${x}"),
        ("שלום\u{200F}!", "שלום\u{200F}!"),
        ("👩\u{200D}🚀", "👩\u{200D}🚀"),
        (&longest, &longest),
        (&format!("  {longest}  "), &longest),
    ] {
        let body = json!({"name": name});
        assert_eq!(owner.client(name).await["name"], stored, "{name:?}");
        assert_eq!(
            owner.patch(&path(&client), body).await.expect(200)["name"],
            stored
        );
    }
    for (name, code) in [
        (json!(""), "too-short"),
        (json!(" \u{FEFF}\u{200B}\n"), "too-short"),
        (json!(longer), "too-long"),
        (json!("a\nb"), "invalid-format"),
        (json!("a\tb"), "invalid-format"),
        (json!("a\0b"), "invalid-format"),
        (json!("a\u{7F}b"), "invalid-format"),
        (json!("a\u{85}b"), "invalid-format"),
        (json!("a\u{2028}b"), "invalid-format"),
        (json!("a\u{202E}b"), "invalid-format"),
        (json!(1), "wrong-type"),
        (json!(true), "wrong-type"),
        (json!(["a"]), "wrong-type"),
        (json!({"a": 1}), "wrong-type"),
    ] {
        let body = json!({"name": name});
        let answer = owner.post("/agency/clients", body.clone()).await;
        assert_eq!(answer.faults(), [fault("/name", code)], "{name}");
        let answer = owner.patch(&path(&client), body).await;
        assert_eq!(answer.faults(), [fault("/name", code)], "{name}");
    }
}

#[tokio::test]
async fn slugs_are_2_to_63_letters_digits_and_inner_hyphens() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = create(&owner, "Old", "old").await;
    let (longest, longer) = ("a".repeat(63), "a".repeat(64));
    for (slug, stored) in [
        ("ab", "ab"),
        ("42", "42"),
        ("a--b", "a--b"),
        ("\u{FEFF} acme \u{200B}\n", "acme"),
        (&longest, &longest),
    ] {
        let made = create(&owner, "New", slug).await;
        assert_eq!(made["slug"], stored, "{slug:?}");
        owner.delete(&path(&made)).await.expect(204);
        let body = json!({"slug": slug});
        assert_eq!(
            owner.patch(&path(&client), body).await.expect(200)["slug"],
            stored
        );
    }
    for (slug, code) in [
        (json!(""), "too-short"),
        (json!(" "), "too-short"),
        (json!("a"), "too-short"),
        (json!(longer), "too-long"),
        (json!("Acme"), "invalid-format"),
        (json!("acmé"), "invalid-format"),
        (json!("ac me"), "invalid-format"),
        (json!("ac_me"), "invalid-format"),
        (json!("ac.me"), "invalid-format"),
        (json!("ac/me"), "invalid-format"),
        (json!("ac#me"), "invalid-format"),
        (json!("ac\0me"), "invalid-format"),
        (json!("acme\u{661}"), "invalid-format"),
        (json!("-acme"), "invalid-format"),
        (json!("acme-"), "invalid-format"),
        (json!("--"), "invalid-format"),
        (json!(12), "wrong-type"),
        (json!(false), "wrong-type"),
        (json!([]), "wrong-type"),
        (json!({}), "wrong-type"),
    ] {
        let answer = owner
            .post("/agency/clients", json!({"name": "New", "slug": slug}))
            .await;
        assert_eq!(answer.faults(), [fault("/slug", code)], "{slug}");
        let answer = owner.patch(&path(&client), json!({"slug": slug})).await;
        assert_eq!(answer.faults(), [fault("/slug", code)], "{slug}");
    }
}

#[tokio::test]
async fn every_fault_of_a_creation_is_told_at_once() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let body = json!({"name": "", "slug": "A", "id": NOBODY, "a/b~c": 1, "": 2});
    let mut faults = owner.post("/agency/clients", body).await.faults();
    faults.sort();
    assert_eq!(
        faults,
        [
            fault("/", "unknown-property"),
            fault("/a~1b~0c", "unknown-property"),
            fault("/id", "unknown-property"),
            fault("/name", "too-short"),
            fault("/slug", "too-short"),
        ]
    );
    for body in [
        json!({}),
        json!({"name": null}),
        json!({"name": null, "slug": null}),
    ] {
        let answer = owner.post("/agency/clients", body).await;
        assert_eq!(answer.faults(), [fault("/name", "required")]);
    }
    for body in [json!([]), json!("name"), json!(1), json!(null)] {
        let answer = owner.post("/agency/clients", body).await;
        assert_eq!(answer.faults(), [fault("", "wrong-type")]);
    }
    assert_eq!(owner.get("/agency/overview").await.expect(200)["clientCount"], 0);
}

#[tokio::test]
async fn a_slug_is_made_from_the_name() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for (name, slug) in [
        ("Acme Consulting", "acme-consulting".to_owned()),
        ("Müller & Söhne GmbH", "muller-sohne-gmbh".to_owned()),
        ("北京公司", "bei-jing-gong-si".to_owned()),
        ("--- a1 ---", "a1".to_owned()),
        ("O'Brien/Smith", "o-brien-smith".to_owned()),
        (&"b".repeat(100), "b".repeat(63)),
        (&format!("{} {}", "c".repeat(62), "d".repeat(9)), "c".repeat(62)),
    ] {
        let body = json!({"name": name, "slug": null});
        assert_eq!(
            owner.post("/agency/clients", body).await.expect(201)["slug"],
            slug
        );
        assert_eq!(by_slug(&owner, &slug).await[0]["name"], name);
    }
}

#[tokio::test]
async fn a_made_slug_that_is_taken_gets_2_and_then_random_digits() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let long = "a".repeat(63);
    for (name, first, second, rest) in [
        ("Acme", "acme", "acme-2", "acme"),
        (
            long.as_str(),
            long.as_str(),
            &format!("{}-2", &long[..61]),
            &long[..56],
        ),
    ] {
        let mut slugs = Vec::new();
        for _ in 0..6 {
            let client = owner.client(name).await;
            slugs.push(client["slug"].as_str().unwrap().to_owned());
        }
        assert_eq!(slugs[..2], [first, second]);
        for slug in &slugs[2..] {
            let digits = slug.strip_prefix(&format!("{rest}-")).unwrap();
            assert_eq!(digits.len(), 6, "{slug}");
            assert!(digits.bytes().all(|digit| digit.is_ascii_digit()), "{slug}");
        }
        slugs.sort();
        slugs.dedup();
        assert_eq!(slugs.len(), 6);
    }
}

#[tokio::test]
async fn a_made_slug_passes_over_a_2_that_somebody_chose() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    create(&owner, "Other", "acme-2").await;
    assert_eq!(owner.client("Acme").await["slug"], "acme");
    let third = owner.client("Acme").await;
    assert_eq!(third["slug"].as_str().unwrap().len(), "acme-123456".len());
    // Free again, so taken again.
    let two = &by_slug(&owner, "acme-2").await[0];
    owner.delete(&path(two)).await.expect(204);
    assert_eq!(owner.client("Acme").await["slug"], "acme-2");
}

#[tokio::test]
async fn a_name_without_letters_gets_a_random_slug() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let mut slugs = Vec::new();
    for name in ["?", "A", "…!", "-", "\u{10FFFD}", "?", "?"] {
        let client = owner.client(name).await;
        let slug = client["slug"].as_str().unwrap().to_owned();
        let random = slug.strip_prefix("client-").unwrap();
        assert_eq!(random.len(), 6, "{slug}");
        assert!(
            random
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        );
        slugs.push(slug);
    }
    slugs.sort();
    slugs.dedup();
    assert_eq!(slugs.len(), 7);
}

#[tokio::test]
async fn a_slug_is_one_clients_within_the_agency_alone() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let first = create(&owner, "First", "acme").await;
    let second = create(&owner, "Second", "beta").await;
    let body = json!({"name": "Third", "slug": "acme"});
    owner
        .post("/agency/clients", body)
        .await
        .problem(409, "slug-taken");
    let body = json!({"name": "Renamed", "slug": "acme"});
    owner.patch(&path(&second), body).await.problem(409, "slug-taken");
    // A refusal changes nothing, the name included.
    assert_eq!(owner.get(&path(&second)).await.expect(200), second);
    assert_eq!(by_slug(&owner, "acme").await, json!([first]));
    assert_eq!(by_slug(&owner, "beta").await, json!([second]));
    assert_eq!(owner.get("/agency/overview").await.expect(200)["clientCount"], 2);
    assert_eq!(owner.audit().await.len(), 3);

    let other = api.agency("org_other").await;
    let theirs = create(&other, "Theirs", "acme").await;
    assert_eq!(by_slug(&other, "acme").await, json!([theirs]));
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_the_time() {
    let api = Api::build(System::builder().at(NOW)).await;
    let owner = api.agency("org_acme").await;
    let client = create(&owner, "Old", "old").await;
    let mut expected = client.clone();
    for (body, property, time) in [
        (json!({"name": " New "}), Some(("name", "New")), "00:54:20"),
        (json!({"slug": "new"}), Some(("slug", "new")), "00:55:20"),
        (json!({"slug": "new"}), None, "00:56:20"),
        (json!({}), None, "00:57:20"),
    ] {
        api.advance(Duration::from_secs(60));
        if let Some((name, value)) = property {
            expected[name] = value.into();
        }
        expected["updatedAt"] = format!("2026-09-10T{time}Z").into();
        assert_eq!(owner.patch(&path(&client), body).await.expect(200), expected);
        assert_eq!(owner.get(&path(&client)).await.expect(200), expected);
        let slug = expected["slug"].as_str().unwrap();
        assert_eq!(by_slug(&owner, slug).await, json!([expected]));
    }
    assert_eq!(by_slug(&owner, "old").await, json!([]));
    // Each accepted one has its entry, those that change nothing too.
    let log = owner.audit().await;
    let changes: Vec<_> = log
        .iter()
        .filter(|entry| entry["action"] == "client.updated")
        .map(|entry| (entry["before"].clone(), entry["after"].clone()))
        .collect();
    assert_eq!(
        changes,
        [
            (json!({}), json!({})),
            (json!({}), json!({})),
            (json!({"slug": "old"}), json!({"slug": "new"})),
            (json!({"name": "Old"}), json!({"name": "New"})),
        ]
    );
}

#[tokio::test]
async fn a_patch_takes_back_what_get_returned_and_no_null() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = create(&owner, "Old", "old").await;
    let mut body = client.clone();
    for (property, value) in [
        ("id", json!(NOBODY)),
        ("agencyId", json!("org_other")),
        ("createdAt", json!(0)),
        ("updatedAt", json!(null)),
    ] {
        body[property] = value;
    }
    body["name"] = "New".into();
    let changed = owner.patch(&path(&client), body).await.expect(200);
    for property in ["id", "agencyId", "slug", "createdAt"] {
        assert_eq!(changed[property], client[property]);
    }
    assert_eq!(changed["name"], "New");

    let answer = owner
        .patch(
            &path(&client),
            json!({"name": null, "slug": null, "color": "red"}),
        )
        .await;
    let expected = [
        fault("/name", "wrong-type"),
        fault("/slug", "wrong-type"),
        fault("/color", "unknown-property"),
    ];
    assert_eq!(answer.faults(), expected);
    assert_eq!(owner.get(&path(&client)).await.expect(200), changed);
}

#[tokio::test]
async fn two_clients_swap_their_slugs_by_three_patches() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let one = create(&owner, "One", "one").await;
    let two = create(&owner, "Two", "two").await;
    let taken = owner.patch(&path(&one), json!({"slug": "two"})).await;
    taken.problem(409, "slug-taken");
    for (client, slug) in [(&one, "spare"), (&two, "one"), (&one, "two")] {
        owner
            .patch(&path(client), json!({"slug": slug}))
            .await
            .expect(200);
    }
    assert_eq!(by_slug(&owner, "one").await[0]["id"], two["id"]);
    assert_eq!(by_slug(&owner, "two").await[0]["id"], one["id"]);
    assert_eq!(by_slug(&owner, "spare").await, json!([]));
    let list = owner.get("/agency/clients").await.expect(200);
    assert_eq!(
        (&list["items"][0]["slug"], &list["items"][1]["slug"]),
        (&json!("two"), &json!("one"))
    );
}

#[tokio::test]
async fn the_slug_of_a_deleted_or_renamed_client_is_free_at_once() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let first = create(&owner, "First", "acme").await;
    owner.delete(&path(&first)).await.expect(204);
    assert_eq!(by_slug(&owner, "acme").await, json!([]));
    let second = create(&owner, "Second", "acme").await;
    assert_eq!(by_slug(&owner, "acme").await, json!([second]));
    owner
        .patch(&path(&second), json!({"slug": "renamed"}))
        .await
        .expect(200);
    let third = create(&owner, "Third", "acme").await;
    assert_eq!(by_slug(&owner, "acme").await, json!([third]));
    // Its former holders' ends do not touch it.
    owner.delete(&path(&second)).await.expect(204);
    assert_eq!(by_slug(&owner, "acme").await, json!([third]));
}

#[tokio::test]
async fn a_client_is_looked_up_by_its_slug() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = create(&owner, "One", "one").await;
    assert_eq!(by_slug(&owner, "one").await, json!([client]));
    assert_eq!(by_slug(&owner, "%20one%0A").await, json!([client]));
    assert_eq!(by_slug(&owner, "one&other=1").await, json!([client]));
    for slug in [
        "two",
        "ONE",
        "o",
        "-one",
        "one-",
        "on%C3%A9",
        "%FF",
        "%00",
        "one%23",
        "%20",
        "on*",
        "o%25",
        &"a".repeat(64),
        &"a".repeat(4000),
    ] {
        assert_eq!(by_slug(&owner, slug).await, json!([]), "{slug}");
    }
    for query in [
        "slug=",
        "slug",
        "slug=one&slug=one",
        "slug=one&slug=",
        "slug=one&limit=1",
        "limit=1&slug=one",
        "slug=one&cursor=x",
        "slug=one&limit=",
        "slug=&limit=1",
    ] {
        let answer = owner.get(&format!("/agency/clients?{query}")).await;
        answer.problem(400, "invalid-parameter");
    }
    let stranger = api.user("org_other", "owner");
    for slug in ["one", "NONE"] {
        let answer = stranger.get(&format!("/agency/clients?slug={slug}")).await;
        answer.problem(403, "agency-not-enabled");
    }
    let other = api.agency("org_other").await;
    assert_eq!(by_slug(&other, "one").await, json!([]));
}

#[tokio::test]
async fn every_write_has_its_entry_in_the_log() {
    let api = Api::build(System::builder().at(NOW)).await;
    let owner = api.agency("org_acme").await;
    let answer = owner
        .post("/agency/clients", json!({"name": "Old", "slug": "old"}))
        .await;
    let created = answer.expect(201);
    let patched = owner
        .patch(&path(&created), json!({"name": "New", "slug": "new"}))
        .await;
    let changed = patched.expect(200);
    let deleted = owner.delete(&path(&created)).await;
    deleted.expect(204);
    let log = owner.audit().await;
    let entry = |index: usize, action: &str, request: Option<&str>, before: Value, after: Value| {
        assert_eq!(
            log[index],
            json!({
                "id": log[index]["id"],
                "at": "2026-09-10T00:53:20Z",
                "actor": {"type": "user", "id": "user_1"},
                "action": action,
                "target": {"type": "client", "id": created["id"]},
                "requestId": request,
                "before": before,
                "after": after,
            })
        );
        assert!(log[index]["id"].as_str().unwrap().starts_with("log_"));
    };
    assert_eq!(log.len(), 4);
    entry(
        0,
        "client.deleted",
        deleted.header("x-request-id"),
        changed,
        Value::Null,
    );
    entry(
        1,
        "client.updated",
        patched.header("x-request-id"),
        json!({"name": "Old", "slug": "old"}),
        json!({"name": "New", "slug": "new"}),
    );
    entry(
        2,
        "client.created",
        answer.header("x-request-id"),
        Value::Null,
        created.clone(),
    );
}

#[tokio::test]
async fn a_deleted_client_is_gone_for_good_and_so_is_its_portal() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = create(&owner, "One", "one").await;
    let id = client["id"].as_str().unwrap();
    let theirs = api.user(id, "owner");
    let context = theirs.get("/portal/context").await.expect(200);
    assert_eq!(
        context["organization"],
        json!({"id": id, "role": "client", "name": "One", "slug": "one"})
    );
    owner
        .patch(&path(&client), json!({"name": "Two", "slug": "two"}))
        .await
        .expect(200);
    let context = theirs.get("/portal/context").await.expect(200);
    assert_eq!(
        context["organization"],
        json!({"id": id, "role": "client", "name": "Two", "slug": "two"})
    );

    let answer = owner.delete(&path(&client)).await;
    assert_eq!(answer.expect(204), Value::Null);
    assert_eq!(answer.header("content-type"), None);
    theirs.get("/portal/context").await.problem(404, "no-portal");
    owner.get(&path(&client)).await.problem(404, "not-found");
    owner.delete(&path(&client)).await.problem(404, "not-found");
    let answer = owner.patch(&path(&client), json!({"name": "Three"})).await;
    answer.problem(404, "not-found");
    let list = owner.get("/agency/clients").await.expect(200);
    assert_eq!(list, json!({"items": [], "nextCursor": null}));
    assert_eq!(owner.get("/agency/overview").await.expect(200)["clientCount"], 0);
    assert_eq!(owner.audit().await.len(), 4);
}

#[tokio::test]
async fn members_read_and_admins_write() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = create(&owner, "One", "one").await;
    let place = path(&client);
    for role in ["member", "unknown", ""] {
        let member = api.user("org_acme", role);
        assert_eq!(member.get(&place).await.expect(200), client);
        assert_eq!(by_slug(&member, "one").await, json!([client]));
        member.get("/agency/clients").await.expect(200);
        // The role comes before the body and the resource.
        let body = Some(json!({"name": 1}));
        for (method, path) in [
            (Method::POST, "/agency/clients"),
            (Method::PATCH, &place),
            (Method::PATCH, "/agency/clients/nothing"),
            (Method::DELETE, &place),
        ] {
            let headers = [("content-type", "text/plain")];
            let answer = member.call(method, path, &headers, body.clone()).await;
            answer.problem(403, "role-too-low");
        }
    }
    for role in ["admin", "owner"] {
        let user = api.user("org_acme", role);
        let made = user.client("Two").await;
        user.patch(&path(&made), json!({"name": "Three"}))
            .await
            .expect(200);
        user.delete(&path(&made)).await.expect(204);
    }
}

#[tokio::test]
async fn what_is_another_agencys_is_as_if_it_were_not() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let other = api.agency("org_other").await;
    let theirs = create(&other, "Theirs", "theirs").await;
    let id = theirs["id"].as_str().unwrap();
    let mut details = Vec::new();
    for id in [
        id,
        NOBODY,
        &id.to_uppercase(),
        &id.replace("cli_", "dom_"),
        &id.replace('-', ""),
        &format!("{id}%00"),
        &format!("{id}%20"),
        "cli_",
        "%FF",
        "..%2F..%2Foverview",
        "CLIENT%23",
        &"x".repeat(3000),
    ] {
        let place = format!("/agency/clients/{id}");
        for answer in [
            owner.get(&place).await,
            owner.patch(&place, json!({"name": "Mine"})).await,
            owner.delete(&place).await,
        ] {
            details.push(answer.problem(404, "not-found")["detail"].clone());
        }
    }
    details.dedup();
    assert_eq!(details.len(), 1, "{details:?}");
    assert_eq!(other.get(&path(&theirs)).await.expect(200), theirs);
    // Words about the body and the state come before that.
    let place = format!("/agency/clients/{NOBODY}");
    let stranger = api.user("org_stranger", "owner");
    for user in [&owner, &stranger] {
        let answer = user.patch(&place, json!({"name": 1})).await;
        assert_eq!(answer.faults(), [fault("/name", "wrong-type")]);
    }
    for answer in [
        stranger.get(&path(&theirs)).await,
        stranger.get("/agency/clients").await,
        stranger.patch(&path(&theirs), json!({"name": "Mine"})).await,
        stranger.delete(&path(&theirs)).await,
        stranger.post("/agency/clients", json!({"name": "Mine"})).await,
    ] {
        answer.problem(403, "agency-not-enabled");
    }
}

/// Adds clients to the list as the store writes them, without a request for each. The copies under their slugs and
/// the ones for their users are left out: no list reads them.
async fn add_clients(api: &Api, owner: &User<'_>, count: usize) -> Vec<String> {
    let model = create(owner, "Model", "model").await;
    let id = model["id"].as_str().unwrap();
    let org = "org_acme".parse().unwrap();
    let call = api
        .client
        .get_item()
        .table_name(api.table())
        .set_key(Some(keys::client(&org, id.parse().unwrap()).item()));
    let item = call.send().await.unwrap().item.unwrap();
    let ids: Vec<_> = (0..count).map(|_| format!("cli_{}", Uuid::now_v7())).collect();
    let puts = ids.iter().map(|new| {
        let put = item.iter().fold(PutRequest::builder(), |put, (name, value)| {
            let value = match value {
                AttributeValue::S(text) => {
                    AttributeValue::S(text.replace(id, new).replace("model", &new[4..]))
                }
                other => other.clone(),
            };
            put.item(name, value)
        });
        WriteRequest::builder().put_request(put.build().unwrap()).build()
    });
    for chunk in puts.collect::<Vec<_>>().chunks(25) {
        let call = api
            .client
            .batch_write_item()
            .request_items(api.table(), chunk.to_vec());
        let left = call.send().await.unwrap().unprocessed_items;
        assert!(left.is_none_or(|left| left.is_empty()));
    }
    let update = api
        .client
        .update_item()
        .table_name(api.table())
        .set_key(Some(keys::agency(&org).item()))
        .update_expression("ADD clientCount :count")
        .expression_attribute_values(":count", AttributeValue::N(count.to_string()));
    update.send().await.unwrap();
    owner.delete(&path(&model)).await.expect(204);
    ids
}

/// Every page from the first on, and how many there were.
async fn walk(user: &User<'_>, limit: usize) -> (Vec<String>, usize) {
    let (mut ids, mut pages) = (Vec::new(), 0);
    let mut place = format!("/agency/clients?limit={limit}");
    loop {
        let page = user.get(&place).await.expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit);
        ids.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        pages += 1;
        match page["nextCursor"].as_str() {
            Some(cursor) => place = format!("/agency/clients?limit={limit}&cursor={cursor}"),
            None => return (ids, pages),
        }
    }
}

#[tokio::test]
async fn a_walk_over_2500_clients_sees_each_once_and_in_order() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let mut ids = add_clients(&api, &owner, 2500).await;
    assert_eq!(
        owner.get("/agency/overview").await.expect(200)["clientCount"],
        2500
    );
    for (limit, pages) in [(1000, 3), (833, 4)] {
        assert_eq!(walk(&owner, limit).await, (ids.clone(), pages), "{limit}");
    }
    // Without a limit it is 1000.
    let page = owner.get("/agency/clients").await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1000);

    // While others come and go: those before the cursor, at it, after it, and at the end.
    let mut seen = Vec::new();
    let mut cursor = String::new();
    let mut gone = Vec::new();
    for round in 0.. {
        let page = owner
            .get(&format!("/agency/clients?limit=250{cursor}"))
            .await
            .expect(200);
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["nextCursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
        let end = 250 * (round + 1);
        if end < 2500 {
            for index in [end - 100, end - 1, end, end + 100] {
                owner
                    .delete(&format!("/agency/clients/{}", ids[index]))
                    .await
                    .expect(204);
                gone.push(ids[index].clone());
            }
            let new = owner.client(&format!("New {round}")).await;
            ids.push(new["id"].as_str().unwrap().to_owned());
        }
    }
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(seen, sorted);
    let stayed: Vec<_> = ids.iter().filter(|id| !gone.contains(id)).collect();
    assert!(stayed.iter().all(|id| seen.contains(id)));
    assert_eq!(
        owner.get("/agency/overview").await.expect(200)["clientCount"],
        stayed.len()
    );
}

#[tokio::test]
async fn a_page_ends_where_it_should() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    assert_eq!(walk(&owner, 1).await, (vec![], 1));
    let mut ids = Vec::new();
    for index in 0..5 {
        let client = owner.client(&format!("Client {index}")).await;
        ids.push(client["id"].as_str().unwrap().to_owned());
    }
    for (limit, pages) in [(1, 5), (2, 3), (3, 2), (4, 2), (5, 1), (6, 1), (1000, 1)] {
        assert_eq!(walk(&owner, limit).await, (ids.clone(), pages), "{limit}");
    }
    // A cursor holds when all that was behind it is gone.
    let page = owner.get("/agency/clients?limit=2").await.expect(200);
    let cursor = page["nextCursor"].as_str().unwrap();
    for id in &ids {
        owner.delete(&format!("/agency/clients/{id}")).await.expect(204);
    }
    let page = owner.get(&format!("/agency/clients?cursor={cursor}")).await;
    assert_eq!(page.expect(200), json!({"items": [], "nextCursor": null}));
}

#[tokio::test]
async fn limits_are_1_to_1000_and_cursors_our_own() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    join_all((0..3).map(|index| owner.client(["One", "Two", "Three"][index]))).await;
    for limit in [
        "0",
        "1001",
        "-1",
        "%2B1",
        "1.0",
        "1e2",
        "",
        "%201",
        "x",
        "65537",
        "99999999999999999999",
        "%D9%A1",
    ] {
        let answer = owner.get(&format!("/agency/clients?limit={limit}")).await;
        answer.problem(400, "invalid-parameter");
    }
    for query in ["limit=1&limit=1", "cursor=", "cursor=x&cursor=x", "limit"] {
        let answer = owner.get(&format!("/agency/clients?{query}")).await;
        answer.problem(400, "invalid-parameter");
    }
    owner
        .get("/agency/clients?limit=1&Limit=0&x=&x=")
        .await
        .expect(200);

    let other = api.agency("org_other").await;
    join_all((0..3).map(|index| other.client(["One", "Two", "Three"][index]))).await;
    let cursor = async |user: &User<'_>, list: &str| {
        let page = user.get(&format!("{list}?limit=1")).await.expect(200);
        page["nextCursor"].as_str().unwrap().to_owned()
    };
    let mine = cursor(&owner, "/agency/clients").await;
    assert!(mine.len() <= 512);
    let (head, tail) = mine.split_at(mine.len() / 2);
    for foreign in [
        cursor(&other, "/agency/clients").await,
        cursor(&owner, "/agency/audit").await,
        format!("{mine}A"),
        format!("{mine}%3D"),
        format!("{head}A{}", &tail[1..]),
        head.to_owned(),
        mine.to_lowercase(),
        "A".repeat(512),
        "A".repeat(513),
        "null".to_owned(),
        "%FF".to_owned(),
        "CLIENT%23".to_owned(),
    ] {
        let answer = owner.get(&format!("/agency/clients?cursor={foreign}")).await;
        answer.problem(400, "invalid-cursor");
    }
    let answer = owner.get(&format!("/agency/portal-domains?cursor={mine}")).await;
    answer.problem(400, "invalid-cursor");
}
