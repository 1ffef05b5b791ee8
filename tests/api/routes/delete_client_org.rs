use futures::future::{join, join_all};
use serde_json::{Value, json};

use crate::harness::{Answer, Api, CLIENTS, CONTEXT, id, path};

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
