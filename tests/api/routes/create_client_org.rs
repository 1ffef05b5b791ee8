use std::collections::BTreeSet;

use futures::future::join_all;
use http::Method;
use local::fault::Fault;
use serde_json::{Map, json};
use uuid::Uuid;

use crate::harness::{Api, CLIENTS, NO_CLIENT, id, path};

#[tokio::test]
async fn a_client_has_every_property_and_a_location() {
    let api = Api::stopped().await;
    let owner = api.agency("org_acme").await;
    let body = json!({"name": " Müller & Söhne ", "slug": "mueller"});
    let answer = owner.post(CLIENTS, body).await;
    let client = answer.expect(201);
    assert_eq!(
        client,
        json!({
            "id": client["id"],
            "agencyId": "org_acme",
            "name": "Müller & Söhne",
            "slug": "mueller",
            "externalId": null,
            "metadata": {},
            "suspendedAt": null,
            "createdAt": "2027-01-15T08:00:00Z",
            "updatedAt": "2027-01-15T08:00:00Z",
        })
    );
    let uuid = id(&client).strip_prefix("cli_").unwrap();
    let parsed = Uuid::parse_str(uuid).unwrap();
    assert_eq!((parsed.get_version_num(), parsed.to_string().as_str()), (7, uuid));
    assert_eq!(answer.header("location"), Some(path(&client).as_str()));
    assert_eq!(owner.get(&path(&client)).await.expect(200), client);
    assert_eq!(owner.by_slug("mueller").await, json!([client]));
    assert_eq!(owner.list(CLIENTS).await, [client]);
}

/// With a good and a bad value of each property. The others are those of the unit tests of `models`.
#[tokio::test]
async fn every_error_is_listed_at_once_and_nothing_is_created() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let body = json!({
        "name": "", "slug": "A", "id": NO_CLIENT, "externalId": "a b", "suspended": true, "suspendedAt": null,
        "metadata": {"": "x", "a.b": null, "long": "é".repeat(501), "number": 1, "object": {}, "good": "x"},
    });
    owner.post(CLIENTS, body).await.expect_faults(&[
        ("/externalId", "invalid-format"),
        ("/id", "unknown-property"),
        ("/metadata/", "too-short"),
        ("/metadata/a.b", "invalid-format"),
        ("/metadata/long", "too-long"),
        ("/metadata/number", "wrong-type"),
        ("/metadata/object", "wrong-type"),
        ("/name", "too-short"),
        ("/slug", "too-short"),
        ("/suspended", "unknown-property"),
        ("/suspendedAt", "unknown-property"),
    ]);
    let many = (0..21).map(|n| (format!("k{n}"), json!("v")));
    let many: Map<_, _> = many.collect();
    let body = json!({"name": "Acme", "metadata": many});
    let answer = owner.post(CLIENTS, body).await;
    answer.expect_faults(&[("/metadata", "too-long")]);
    for body in [
        json!({}),
        json!({"name": null}),
        json!({"name": null, "slug": null}),
    ] {
        owner
            .post(CLIENTS, body)
            .await
            .expect_faults(&[("/name", "required")]);
    }
    assert_eq!(owner.overview().await["clientCount"], 0);
    let longest = "é".repeat(100);
    let body = json!({"name": format!("\u{FEFF} {longest}\n"), "slug": "\u{200B}a--b "});
    let client = owner.post(CLIENTS, body).await.expect(201);
    assert_eq!(
        (&client["name"], &client["slug"]),
        (&json!(longest), &json!("a--b"))
    );
}

#[tokio::test]
async fn a_slug_is_made_from_the_name() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for (name, slug) in [
        ("Müller & Söhne GmbH", "muller-sohne-gmbh".to_owned()),
        ("北京公司", "bei-jing-gong-si".to_owned()),
        (&"b".repeat(100), "b".repeat(63)),
    ] {
        let body = json!({"name": name, "slug": null});
        assert_eq!(owner.post(CLIENTS, body).await.expect(201)["slug"], slug);
        assert_eq!(owner.by_slug(&slug).await[0]["name"], name);
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
async fn a_made_slug_gets_random_digits_if_its_2_is_taken() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.client_with_slug("Other", "acme-2").await;
    assert_eq!(owner.client("Acme").await["slug"], "acme");
    let third = owner.client("Acme").await;
    assert_eq!(third["slug"].as_str().unwrap().len(), "acme-123456".len());
    // If it is free again, it is used again.
    let two = &owner.by_slug("acme-2").await[0];
    owner.remove(two).await;
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
async fn a_slug_is_unique_within_its_agency() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let first = owner.client_with_slug("First", "acme").await;
    let second = owner.client_with_slug("Second", "beta").await;
    let body = json!({"name": "Third", "slug": "acme"});
    owner.post(CLIENTS, body).await.problem(409, "slug-taken");
    let body = json!({"name": "Renamed", "slug": "acme"});
    owner.patch(&path(&second), body).await.problem(409, "slug-taken");
    // A rejection changes nothing, not even the name.
    assert_eq!(owner.get(&path(&second)).await.expect(200), second);
    assert_eq!(owner.by_slug("acme").await, json!([first]));
    assert_eq!(owner.by_slug("beta").await, json!([second]));
    assert_eq!(owner.overview().await["clientCount"], 2);
    assert_eq!(owner.audit().await.len(), 3);

    let other = api.agency("org_other").await;
    let theirs = other.client_with_slug("Theirs", "acme").await;
    assert_eq!(other.by_slug("acme").await, json!([theirs]));
}

#[tokio::test]
async fn of_32_clients_with_one_slug_one_is_created() {
    for conflicts in [0, 24] {
        let api = Api::counted().await;
        let owner = api.agency("org_acme").await;
        if conflicts > 0 {
            api.inject(Fault::conflict().on("TransactWriteItems").times(conflicts));
        }
        let answers = join_all((0..32).map(|index| {
            let body = json!({"name": format!("Client {index}"), "slug": "acme"});
            let owner = &owner;
            async move { owner.post(CLIENTS, body).await }
        }))
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
        assert_eq!((won.len(), lost.len()), (1, 31));
        for answer in lost {
            answer.problem(409, "slug-taken");
        }
        assert_eq!(
            (owner.list(CLIENTS).await.len(), owner.audit().await.len()),
            (1, 2)
        );
        assert_eq!(owner.by_slug("acme").await, json!([won[0].json()]));
    }
}

#[tokio::test]
async fn of_32_clients_with_different_slugs_all_are_created() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    api.inject(Fault::conflict().on("TransactWriteItems").times(24));
    let answers = join_all((0..32).map(|index| {
        let body = json!({"name": "Client", "slug": format!("client-{index}")});
        let owner = &owner;
        async move { owner.post(CLIENTS, body).await }
    }))
    .await;
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer.expect(201)["slug"], format!("client-{index}"));
    }
    assert_eq!(
        (owner.list(CLIENTS).await.len(), owner.audit().await.len()),
        (32, 33)
    );
}

#[tokio::test]
async fn of_32_clients_with_one_name_each_gets_a_slug_of_its_own() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    api.inject(Fault::conflict().on("TransactWriteItems").times(8));
    let clients = join_all((0..32).map(|_| owner.client("Acme"))).await;
    let slugs: BTreeSet<_> = clients
        .iter()
        .map(|client| client["slug"].as_str().unwrap())
        .collect();
    assert_eq!(slugs.len(), 32);
    assert!(slugs.contains("acme") && slugs.contains("acme-2"));
    assert_eq!(
        (owner.list(CLIENTS).await.len(), owner.audit().await.len()),
        (32, 33)
    );
}

#[tokio::test]
async fn the_limit_is_that_of_the_configuration() {
    let api = Api::with(&[("MAX_CLIENTS", "2")]).await;
    let owner = api.agency("org_acme").await;
    let first = owner.client("One").await;
    let answers = join_all((0..8).map(|_| owner.post(CLIENTS, json!({"name": "Acme"})))).await;
    let created: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(created.len(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused.problem(409, "limit-reached");
    }
    assert_eq!(owner.list(CLIENTS).await.len(), 2);
    owner.remove(&first).await;
    owner.client("Three").await;
    // A repetition is no further client.
    let key = [("idempotency-key", "key")];
    let create = || owner.call(Method::POST, CLIENTS, &key, Some(json!({"name": "Four"})));
    create().await.problem(409, "limit-reached");
    owner.remove(&owner.list(CLIENTS).await[0]).await;
    create().await.expect(201);
    assert!(create().await.is_replay());
    api.user("org_none", "owner")
        .post(CLIENTS, json!({"name": "Acme"}))
        .await
        .problem(403, "agency-not-enabled");
}

/// A shard of the counter may have room although the agency has none.
#[tokio::test]
async fn a_lower_limit_holds_for_an_agency_that_has_more() {
    let before = Api::start().await;
    let owner = before.agency("org_acme").await;
    for _ in 0..5 {
        owner.client("Acme").await;
    }
    for limit in ["5", "4", "1"] {
        let api = Api::with(&[("TABLE_NAME", before.table()), ("MAX_CLIENTS", limit)]).await;
        let owner = api.user("org_acme", "owner");
        let answers = join_all((0..8).map(|_| owner.post(CLIENTS, json!({"name": "Acme"})))).await;
        for answer in answers {
            answer.problem(409, "limit-reached");
        }
    }
}

#[tokio::test]
async fn a_client_has_an_external_id_and_metadata_from_the_start() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let mut pairs: Map<_, _> = (0..20).map(|n| (format!("k{n}"), json!("v"))).collect();
    let expected = json!(pairs);
    // A pair that is null counts as absent, and so does a property.
    pairs.insert("none".to_owned(), json!(null));
    let body = json!({"name": "Acme", "externalId": "CRM-1", "metadata": pairs});
    let client = owner.post(CLIENTS, body).await.expect(201);
    assert_eq!(
        (&client["externalId"], &client["metadata"]),
        (&json!("CRM-1"), &expected)
    );
    api.assert_copies(&client).await;
    let body = json!({"name": "Acme", "externalId": null, "metadata": null});
    let client = owner.post(CLIENTS, body).await.expect(201);
    assert_eq!(
        (&client["externalId"], &client["metadata"]),
        (&json!(null), &json!({}))
    );
    api.assert_copies(&client).await;
}

#[tokio::test]
async fn an_external_id_that_is_taken_is_told_before_a_slug_that_is_taken() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    let create = |slug: Option<&str>| json!({"name": "Acme", "externalId": "one", "slug": slug});
    owner.post(CLIENTS, create(None)).await.expect(201);
    for slug in [None, Some("acme"), Some("free")] {
        api.proxy().take_requests();
        let answer = owner.post(CLIENTS, create(slug)).await;
        answer.problem(409, "external-id-taken");
        // No other slug is tried.
        assert_eq!(api.proxy().take_requests().len(), 2, "{slug:?}");
    }
    assert_eq!(owner.overview().await["clientCount"], 1);
}

#[tokio::test]
async fn of_16_clients_with_one_external_id_one_is_created() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    api.inject(Fault::conflict().on("TransactWriteItems").times(8));
    let body = || json!({"name": "Acme", "externalId": "one"});
    let answers = join_all((0..16).map(|_| owner.post(CLIENTS, body()))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((won.len(), lost.len()), (1, 15));
    for answer in lost {
        answer.problem(409, "external-id-taken");
    }
    api.assert_copies(&won[0].json()).await;
    assert_eq!(owner.list(CLIENTS).await.len(), 1);
}
