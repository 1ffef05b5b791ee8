use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::harness::{Api, CLIENTS, cname, path};

#[tokio::test]
async fn counts_are_exact_after_every_kind_of_write() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let other = api.agency("org_other").await;
    let overview = async || {
        let overview = owner.overview().await;
        let counts = &overview["portalDomains"];
        let names = ["total", "verified", "pending", "failing", "failed"];
        let counts = names.map(|name| counts[name].as_u64().unwrap());
        (
            overview["clientCount"].as_u64().unwrap(),
            counts,
            overview["primaryDomain"].clone(),
        )
    };
    let clients = [
        owner.client("A").await,
        owner.client("B").await,
        owner.client("C").await,
    ];
    assert_eq!(overview().await, (3, [0; 5], Value::Null));
    owner.remove(&clients[1]).await;
    owner.delete(&path(&clients[1])).await.problem(404, "not-found");
    assert_eq!(overview().await, (2, [0; 5], Value::Null));
    // A rejected or replayed creation counts nothing.
    owner
        .post(CLIENTS, json!({"name": "x", "slug": clients[0]["slug"]}))
        .await
        .problem(409, "slug-taken");
    let key = [("idempotency-key", "k")];
    for _ in 0..3 {
        let body = Some(json!({"name": "D"}));
        owner.call(Method::POST, CLIENTS, &key, body).await.expect(201);
    }
    assert_eq!(overview().await.0, 3);
    let renamed = json!({"name": "E", "slug": "e-e"});
    owner.patch(&path(&clients[0]), renamed).await.expect(200);
    assert_eq!(overview().await.0, 3);

    let pending = owner.custom_domain("pending.acme.com").await;
    assert_eq!(overview().await, (3, [1, 0, 1, 0, 0], Value::Null));
    let (first, second) = (owner.subdomain("first").await, owner.subdomain("second").await);
    assert_eq!(
        overview().await,
        (3, [3, 2, 1, 0, 0], json!("first.portal.localhost"))
    );
    owner.remove(&first).await;
    assert_eq!(
        overview().await,
        (3, [2, 1, 1, 0, 0], json!("second.portal.localhost"))
    );
    let custom = owner.verified_domain("portal.acme.com").await;
    assert_eq!(overview().await, (3, [3, 2, 1, 0, 0], json!("portal.acme.com")));
    owner.subdomain("third").await;
    assert_eq!(overview().await.2, "portal.acme.com");
    owner.remove(&custom).await;
    assert_eq!(
        overview().await,
        (3, [3, 2, 1, 0, 0], json!("second.portal.localhost"))
    );
    owner.remove(&second).await;
    owner.remove(&pending).await;
    assert_eq!(
        overview().await,
        (3, [1, 1, 0, 0, 0], json!("third.portal.localhost"))
    );

    let theirs = other.overview().await;
    assert_eq!(
        (&theirs["clientCount"], &theirs["primaryDomain"]),
        (&json!(0), &Value::Null)
    );
    let member = api.user("org_acme", "member");
    assert_eq!(member.overview().await["clientCount"], 3);
}

#[tokio::test]
async fn counts_are_exact_after_many_writes_at_once() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let made = join_all((0..10).map(|i| owner.client(["A", "B"][i % 2]))).await;
    let deletes = made.iter().take(5).flat_map(|client| {
        let path = path(client);
        [path.clone(), path]
    });
    let deletes: Vec<_> = deletes.collect();
    let gone = join_all(deletes.iter().map(|path| owner.delete(path))).await;
    assert_eq!(gone.iter().filter(|answer| answer.status == 204).count(), 5);
    assert_eq!(gone.iter().filter(|answer| answer.status == 404).count(), 5);
    assert_eq!(owner.overview().await["clientCount"], 5);
    assert_eq!(owner.list(CLIENTS).await.len(), 5);
    assert_eq!(owner.audit().await.len(), 1 + 10 + 5);
}

#[tokio::test]
async fn the_count_of_suspended_clients_is_exact_after_many_writes_at_once() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let clients = join_all((0..8).map(|_| owner.client("Acme"))).await;
    let suspend = |client: &Value, suspended: bool| {
        let (owner, path) = (owner.clone(), path(client));
        async move {
            owner
                .patch(&path, json!({"suspended": suspended}))
                .await
                .expect(200)
        }
    };
    // Twice, all at once: the second one counts nothing.
    let twice = clients.iter().chain(&clients);
    join_all(twice.map(|client| suspend(client, true))).await;
    let counts = async || {
        let overview = owner.overview().await;
        ["clientCount", "suspendedClientCount"].map(|name| overview[name].as_u64().unwrap())
    };
    assert_eq!(counts().await, [8, 8]);
    join_all(clients[..4].iter().map(|client| suspend(client, false))).await;
    assert_eq!(counts().await, [8, 4]);
    join_all(clients[2..6].iter().map(|client| owner.remove(client))).await;
    assert_eq!(counts().await, [4, 2]);
    let other = api.agency("org_other").await;
    assert_eq!(other.overview().await["suspendedClientCount"], 0);
}

#[tokio::test]
async fn the_oldest_routed_custom_domain_is_primary() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    acme.subdomain("acme").await;
    let mut claims = Vec::new();
    for name in ["z.acme.test", "m.acme.test", "a.acme.test"] {
        claims.push(acme.custom_domain(name).await);
    }
    api.dns
        .set_zone(&claims.iter().map(cname).collect::<String>())
        .unwrap();
    let primary = async || {
        acme.overview().await["primaryDomain"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    // The oldest by creation, not by proof.
    for (claim, expected) in claims
        .iter()
        .rev()
        .zip(["a.acme.test", "m.acme.test", "z.acme.test"])
    {
        acme.verify(claim).await.expect(200);
        assert_eq!(primary().await, expected);
    }
    for (claim, expected) in claims
        .iter()
        .zip(["m.acme.test", "a.acme.test", "acme.portal.localhost"])
    {
        acme.remove(claim).await;
        assert_eq!(primary().await, expected);
    }
}
