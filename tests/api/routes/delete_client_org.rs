use std::collections::BTreeSet;

use futures::future::{join, join_all};
use local::fault::Fault;
use serde_json::{Value, json};

use crate::harness::{Answer, Api, CLIENTS, CONTEXT, DOMAINS, id, path};

#[tokio::test]
async fn a_deleted_client_is_gone_and_so_is_its_portal() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client_with_slug("One", "one").await;
    let theirs = api.user(id(&client), "owner");
    theirs.get(CONTEXT).await.expect(200);
    let answer = owner.delete(&path(&client)).await;
    assert_eq!(answer.expect(204), Value::Null);
    assert_eq!(answer.header("content-type"), None);
    theirs.get(CONTEXT).await.problem(404, "no-portal");
    owner.get(&path(&client)).await.problem(404, "not-found");
    owner.delete(&path(&client)).await.problem(404, "not-found");
    let answer = owner.patch(&path(&client), json!({"name": "Three"})).await;
    answer.problem(404, "not-found");
    assert!(owner.list(CLIENTS).await.is_empty());
    assert_eq!(owner.by_slug("one").await, json!([]));
    assert_eq!(owner.overview().await["clientCount"], 0);
    assert_eq!(owner.audit().await.len(), 3);
}

#[tokio::test]
async fn updates_and_deletions_of_one_client_at_once_end_with_its_deletion() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Acme").await;
    let path = path(&client);
    let changes = join_all((0..8).map(|index| {
        let body = json!({"name": format!("Name {index}"), "slug": format!("slug-{index}")});
        let (owner, path) = (&owner, &path);
        async move { owner.patch(path, body).await }
    }));
    let deletions = join_all((0..4).map(|_| owner.delete(&path)));
    let (changes, deletions) = join(changes, deletions).await;
    let count = |answers: &[Answer], success: u16| {
        let (done, late): (Vec<_>, Vec<_>) = answers
            .iter()
            .partition(|answer| answer.status.as_u16() == success);
        for answer in late {
            answer.problem(404, "not-found");
        }
        done.len()
    };
    assert_eq!(count(&deletions, 204), 1);
    assert_eq!(owner.audit().await.len(), 3 + count(&changes, 200));
    assert_eq!(owner.audit().await[0]["action"], "client.deleted");
    for slug in (0..8)
        .map(|index| format!("slug-{index}"))
        .chain(["acme".to_owned()])
    {
        let body = json!({"name": "Next", "slug": slug});
        owner.post(CLIENTS, body).await.expect(201);
    }
}

#[tokio::test]
async fn a_client_with_domains_is_not_deleted() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Acme").await;
    let create = async |subdomain: &str| {
        let body = json!({"subdomain": subdomain, "clientOrgId": id(&client)});
        owner.post(DOMAINS, body).await.expect(201)
    };
    let (first, second) = (create("first").await, create("second").await);
    // An update leaves the number of domains as it is.
    let body = json!({"name": "New", "slug": "new", "externalId": "one", "suspended": true});
    let client = owner.patch(&path(&client), body).await.expect(200);
    let before = owner.audit().await;
    let refused = async || {
        owner
            .delete(&path(&client))
            .await
            .problem(409, "client-has-domains")
    };
    refused().await;
    api.assert_copies(&client).await;
    assert_eq!(owner.audit().await, before);
    assert_eq!(owner.overview().await["clientCount"], 1);
    owner.remove(&first).await;
    refused().await;
    let moved = json!({"clientOrgId": null});
    owner.patch(&path(&second), moved).await.expect(200);
    owner.remove(&client).await;
}

#[tokio::test]
async fn a_deletion_and_a_new_domain_of_a_client_at_once_exclude_each_other() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    let mut outcomes = BTreeSet::new();
    for round in 0..12 {
        let client = owner.client("Acme").await;
        let body = json!({"subdomain": format!("round-{round}"), "clientOrgId": id(&client)});
        let path = path(&client);
        if round % 2 == 0 {
            // A creation is one request and a deletion two: this lets the deletion come first.
            let creates = |_: &str, body: &Value| body.to_string().contains("round-");
            api.inject(Fault::conflict().on("TransactWriteItems").when(creates).times(3));
        }
        let (deleted, created) = join(owner.delete(&path), owner.post(DOMAINS, body)).await;
        outcomes.insert(deleted.status.as_u16());
        match deleted.status.as_u16() {
            204 => created.expect_faults(&[("/clientOrgId", "not-allowed")]),
            _ => {
                deleted.problem(409, "client-has-domains");
                assert_eq!(created.expect(201)["clientOrgId"], client["id"]);
            }
        }
    }
    assert_eq!(outcomes, BTreeSet::from([204, 409]));
}

#[tokio::test]
async fn no_copy_of_a_deleted_client_is_left() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let body = json!({"name": "Acme", "externalId": "one", "metadata": {"plan": "gold"}});
    let client = owner.post(CLIENTS, body).await.expect(201);
    api.assert_copies(&client).await;
    let suspended = json!({"suspended": true});
    owner.patch(&path(&client), suspended).await.expect(200);
    owner.remove(&client).await;
    api.assert_no_copies(&client).await;
    for query in ["externalId=one", "name=acme", "slug=acme"] {
        assert_eq!(owner.find(query).await, json!([]));
    }
    let overview = owner.overview().await;
    assert_eq!(
        (&overview["clientCount"], &overview["suspendedClientCount"]),
        (&json!(0), &json!(0))
    );
}
