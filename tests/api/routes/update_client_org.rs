use std::time::Duration;

use futures::future::join_all;
use local::fault::Fault;
use serde_json::json;

use crate::harness::{Api, CLIENTS, path};

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
            json!({"name": null, "slug": null, "color": "red"}),
            [
                ("/name", "wrong-type"),
                ("/slug", "wrong-type"),
                ("/color", "unknown-property"),
            ],
        ),
        (
            json!({"name": "a\nb", "slug": "", "color": "red"}),
            [
                ("/name", "invalid-format"),
                ("/slug", "too-short"),
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
            0 => json!({"name": format!("Name {index}")}),
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
