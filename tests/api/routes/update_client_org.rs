use std::time::Duration;

use futures::future::join_all;
use local::fault::Fault;
use serde_json::{Value, json};

use crate::harness::{Api, CLIENTS, NO_CLIENT, path};

#[tokio::test]
async fn an_update_changes_its_properties_and_the_time() {
    let api = Api::stopped().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client_with_slug("Old", "old").await;
    let mut expected = client.clone();
    for (body, property, time) in [
        (json!({"name": " New "}), Some(("name", "New")), "08:01:00"),
        (json!({"slug": "new"}), Some(("slug", "new")), "08:02:00"),
        (json!({"slug": "new"}), None, "08:03:00"),
        (json!({}), None, "08:04:00"),
    ] {
        api.advance(Duration::from_secs(60));
        if let Some((name, value)) = property {
            expected[name] = value.into();
        }
        expected["updatedAt"] = format!("2027-01-15T{time}Z").into();
        assert_eq!(owner.patch(&path(&client), body).await.expect(200), expected);
        assert_eq!(owner.get(&path(&client)).await.expect(200), expected);
        let slug = expected["slug"].as_str().unwrap();
        assert_eq!(owner.by_slug(slug).await, json!([expected]));
    }
    assert_eq!(owner.by_slug("old").await, json!([]));
    // Each has its entry, even if it changes nothing.
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

/// With a bad value of each property. The other bad values are those of the unit tests of `models`.
#[tokio::test]
async fn every_error_is_listed_at_once_and_nothing_is_changed() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client_with_slug("Old", "old").await;
    for (body, faults) in [
        (
            json!({"name": null, "slug": null, "metadata": null, "suspended": null, "externalId": 7, "color": "red"}),
            [
                ("/name", "wrong-type"),
                ("/slug", "wrong-type"),
                ("/metadata", "wrong-type"),
                ("/suspended", "wrong-type"),
                ("/externalId", "wrong-type"),
                ("/color", "unknown-property"),
            ],
        ),
        (
            json!({"name": "a\nb", "slug": "", "metadata": {"a/~": 7}, "suspended": "yes", "externalId": "", "color": 1}),
            [
                ("/name", "invalid-format"),
                ("/slug", "too-short"),
                ("/metadata/a~1~0", "invalid-format"),
                ("/suspended", "wrong-type"),
                ("/externalId", "too-short"),
                ("/color", "unknown-property"),
            ],
        ),
    ] {
        owner.patch(&path(&client), body).await.expect_faults(&faults);
    }
    assert_eq!(owner.get(&path(&client)).await.expect(200), client);
}

#[tokio::test]
async fn two_clients_swap_their_slugs_in_three_updates() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let one = owner.client_with_slug("One", "one").await;
    let two = owner.client_with_slug("Two", "two").await;
    let taken = owner.patch(&path(&one), json!({"slug": "two"})).await;
    taken.problem(409, "slug-taken");
    for (client, slug) in [(&one, "spare"), (&two, "one"), (&one, "two")] {
        owner
            .patch(&path(client), json!({"slug": slug}))
            .await
            .expect(200);
    }
    assert_eq!(owner.by_slug("one").await[0]["id"], two["id"]);
    assert_eq!(owner.by_slug("two").await[0]["id"], one["id"]);
    assert_eq!(owner.by_slug("spare").await, json!([]));
    let list = owner.list(CLIENTS).await;
    assert_eq!(list.len(), 2);
    assert_eq!(
        (&list[0]["slug"], &list[1]["slug"]),
        (&json!("two"), &json!("one"))
    );
}

#[tokio::test]
async fn the_slug_of_a_deleted_or_renamed_client_is_free_at_once() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let first = owner.client_with_slug("First", "acme").await;
    owner.remove(&first).await;
    assert_eq!(owner.by_slug("acme").await, json!([]));
    let second = owner.client_with_slug("Second", "acme").await;
    assert_eq!(owner.by_slug("acme").await, json!([second]));
    owner
        .patch(&path(&second), json!({"slug": "renamed"}))
        .await
        .expect(200);
    let third = owner.client_with_slug("Third", "acme").await;
    assert_eq!(owner.by_slug("acme").await, json!([third]));
    // The deletion of its former holder changes nothing.
    owner.remove(&second).await;
    assert_eq!(owner.by_slug("acme").await, json!([third]));
}

#[tokio::test]
async fn updates_of_one_client_at_once_all_take_effect() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Acme").await;
    let path = path(&client);
    api.inject(Fault::conflict().on("TransactWriteItems").times(4));
    let answers = join_all((0..8).map(|index| {
        let body = match index % 2 {
            0 => json!({"name": format!("Name {index}"), "externalId": format!("id-{index}")}),
            _ => json!({"slug": format!("slug-{index}")}),
        };
        let (owner, path) = (&owner, &path);
        async move { owner.patch(path, body).await }
    }))
    .await;
    answers.iter().for_each(|answer| drop(answer.expect(200)));
    // Each entry begins where the one before it ended.
    let (mut name, mut slug) = (json!("Acme"), json!("acme"));
    for entry in owner.audit().await.iter().rev().skip(2) {
        for (property, value) in [("name", &mut name), ("slug", &mut slug)] {
            if let Some(before) = entry["before"].get(property) {
                assert_eq!(before, value);
                *value = entry["after"][property].clone();
            }
        }
    }
    let last = owner.get(&path).await.expect(200);
    assert_eq!((&last["name"], &last["slug"]), (&name, &slug));
    let slug = slug.as_str().unwrap();
    for other in [1, 3, 5, 7].map(|index| format!("slug-{index}")) {
        let expected = if other == slug { json!([last]) } else { json!([]) };
        assert_eq!(owner.by_slug(&other).await, expected);
    }
    assert_eq!(owner.audit().await.len(), 10);
    api.assert_copies(&last).await;
}

#[tokio::test]
async fn of_two_clients_that_change_to_one_slug_at_once_one_gets_it() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let clients = [owner.client("One").await, owner.client("Two").await];
    let answers = join_all(clients.iter().map(|client| {
        let path = path(client);
        let owner = &owner;
        async move { owner.patch(&path, json!({"slug": "wanted"})).await }
    }))
    .await;
    let winner = answers.iter().position(|answer| answer.status == 200).unwrap();
    let loser = 1 - winner;
    answers[loser].problem(409, "slug-taken");
    assert_eq!(owner.by_slug("wanted").await, json!([answers[winner].json()]));
    assert_eq!(
        owner.by_slug(clients[loser]["slug"].as_str().unwrap()).await,
        json!([clients[loser]])
    );
    assert_eq!(
        owner.by_slug(clients[winner]["slug"].as_str().unwrap()).await,
        json!([])
    );
    assert_eq!(owner.audit().await.len(), 4);
}

#[tokio::test]
async fn all_copies_of_a_client_change_in_every_update() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client_with_slug("Old", "old").await;
    api.assert_copies(&client).await;
    for body in [
        json!({"name": "New"}),
        json!({"name": "NEW"}),
        json!({"slug": "new"}),
        json!({"externalId": "one"}),
        json!({"externalId": "two"}),
        json!({"metadata": {"plan": "gold"}}),
        json!({"suspended": true}),
        json!({"name": "Newer", "slug": "newer", "externalId": "three", "metadata": {"plan": null}, "suspended": false}),
        json!({"externalId": null}),
        json!({}),
    ] {
        let client = owner.patch(&path(&client), body).await.expect(200);
        api.assert_copies(&client).await;
    }
    owner.remove(&client).await;
    api.assert_no_copies(&client).await;
}

#[tokio::test]
async fn an_external_id_is_set_changed_and_cleared() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Acme").await;
    let mut former = None;
    for id in [
        json!("one"),
        json!("a/b#c?&=%+~"),
        json!("one"),
        Value::Null,
        Value::Null,
    ] {
        let body = json!({"externalId": id});
        let client = owner.patch(&path(&client), body).await.expect(200);
        assert_eq!(client["externalId"], id);
        if let Some(former) = former.filter(|former| *former != id) {
            assert_eq!(owner.by_external_id(&former).await, json!([]));
        }
        if !id.is_null() {
            assert_eq!(owner.by_external_id(&id).await, json!([client]));
        }
        former = Some(id).filter(|id| !id.is_null());
    }
}

#[tokio::test]
async fn an_external_id_that_another_client_has_is_taken() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let body = |id: &str| json!({"name": "Acme", "externalId": id});
    let first = owner.post(CLIENTS, body("one")).await.expect(201);
    let second = owner.post(CLIENTS, body("two")).await.expect(201);
    let rename = json!({"name": "Renamed", "externalId": "one"});
    let answer = owner.patch(&path(&second), rename.clone()).await;
    answer.problem(409, "external-id-taken");
    let both = json!({"slug": first["slug"], "externalId": "one"});
    let answer = owner.patch(&path(&second), both).await;
    answer.problem(409, "external-id-taken");
    api.assert_copies(&first).await;
    api.assert_copies(&second).await;
    // Case matters. An id that was given up or whose client was deleted is free at once.
    let other = owner.patch(&path(&second), json!({"externalId": "ONE"})).await;
    other.expect(200);
    owner
        .patch(&path(&first), json!({"externalId": null}))
        .await
        .expect(200);
    owner.patch(&path(&second), rename).await.expect(200);
    owner.remove(&second).await;
    owner.post(CLIENTS, body("one")).await.expect(201);
    // Another agency has its own.
    let other = api.agency("org_other").await;
    other.post(CLIENTS, body("one")).await.expect(201);
}

#[tokio::test]
async fn metadata_is_merged_key_by_key() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Acme").await;
    let path = path(&client);
    let odd = "\0\u{1F}\u{202E}\"\\\u{10FFFF}";
    for (update, expected) in [
        (json!({}), json!({})),
        (json!({"a": "1", "b": ""}), json!({"a": "1", "b": ""})),
        (json!({"b": odd, "none": null}), json!({"a": "1", "b": odd})),
        (
            json!({"a": null, "C-_9": " x "}),
            json!({"b": odd, "C-_9": " x "}),
        ),
        (json!({"b": null, "C-_9": null}), json!({})),
    ] {
        let client = owner.patch(&path, json!({"metadata": update})).await.expect(200);
        assert_eq!(client["metadata"], expected);
        assert_eq!(owner.get(&path).await.expect(200), client);
    }
}

#[tokio::test]
async fn more_than_20_pairs_after_the_merge_are_rejected_after_404_and_before_409() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let taken = owner.client("Taken").await;
    let client = owner.client("Acme").await;
    let pairs = |range: std::ops::Range<u8>| -> Value {
        let pairs = range.map(|n| (format!("k{n}"), json!("v")));
        pairs.collect::<serde_json::Map<_, _>>().into()
    };
    let many = json!({"metadata": pairs(0..21), "slug": taken["slug"]});
    let unknown = format!("{CLIENTS}/{NO_CLIENT}");
    owner
        .patch(&unknown, many.clone())
        .await
        .problem(404, "not-found");
    let answer = owner.patch(&path(&client), many).await;
    answer.expect_faults(&[("/metadata", "too-long")]);
    let full = json!({"metadata": pairs(0..20)});
    let client = owner.patch(&path(&client), full).await.expect(200);
    let answer = owner
        .patch(&path(&client), json!({"metadata": {"new": "v"}}))
        .await;
    answer.expect_faults(&[("/metadata", "too-long")]);
    assert_eq!(owner.get(&path(&client)).await.expect(200), client);
    let replaced = json!({"metadata": {"new": "v", "k0": null}});
    owner.patch(&path(&client), replaced).await.expect(200);
}

#[tokio::test]
async fn a_suspension_keeps_its_time_until_it_ends() {
    let api = Api::stopped().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Acme").await;
    for (body, since) in [
        (json!({"suspended": false}), Value::Null),
        (json!({"suspended": true}), json!("2027-01-15T08:02:00Z")),
        (
            json!({"suspended": true, "name": "New"}),
            json!("2027-01-15T08:02:00Z"),
        ),
        (json!({"suspendedAt": null}), json!("2027-01-15T08:02:00Z")),
        (json!({"suspended": false}), Value::Null),
        (json!({"suspended": true}), json!("2027-01-15T08:06:00Z")),
    ] {
        api.advance(Duration::from_secs(60));
        let client = owner.patch(&path(&client), body).await.expect(200);
        assert_eq!(client["suspendedAt"], since);
        let count = owner.overview().await["suspendedClientCount"].clone();
        assert_eq!(count, u8::from(!since.is_null()));
    }
}
