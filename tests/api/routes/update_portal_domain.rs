use std::time::Duration;

use local::{fault::Fault, system::System};
use serde_json::{Value, json};

use crate::harness::{Api, DOMAINS, NO_CLIENT, NO_DOMAIN, START, cname, id, path, property};

#[tokio::test]
async fn a_domain_is_given_to_a_client_and_back_to_the_agency() {
    let api = Api::stopped().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Client").await;
    let client = id(&client);
    for domain in [
        owner.subdomain("acme").await,
        owner.custom_domain("portal.acme.com").await,
    ] {
        let mut expected = domain.clone();
        assert_eq!(expected["clientOrgId"], Value::Null);
        for (body, client) in [
            (json!({"clientOrgId": client}), json!(client)),
            (json!({"clientOrgId": client}), json!(client)),
            (json!({}), json!(client)),
            (json!({"clientOrgId": null}), json!(null)),
        ] {
            api.advance(Duration::from_secs(60));
            expected["clientOrgId"] = client;
            expected["updatedAt"] = api.app.clock.now().to_string().into();
            assert_eq!(owner.patch(&path(&domain), body).await.expect(200), expected);
            assert_eq!(owner.get(&path(&domain)).await.expect(200), expected);
        }
        let log = owner.audit().await;
        let updates = log.iter().filter(|entry| {
            entry["action"] == "domain.updated"
                && entry["target"] == json!({"type": "domain", "id": id(&domain)})
        });
        let changes: Vec<_> = updates
            .map(|entry| (entry["before"].clone(), entry["after"].clone()))
            .collect();
        let given = |client: Value| json!({"clientOrgId": client});
        assert_eq!(
            changes,
            [
                (given(json!(client)), given(json!(null))),
                (json!({}), json!({})),
                (json!({}), json!({})),
                (given(json!(null)), given(json!(client))),
            ]
        );
    }
}

#[tokio::test]
async fn the_event_of_a_clients_domain_names_the_client() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Client").await;
    let domain = owner.subdomain("acme").await;
    owner
        .patch(&path(&domain), property("clientOrgId", id(&client)))
        .await
        .expect(200);
    owner.remove(&domain).await;
    let log = api.items("org_acme", "LOG#").await;
    let named = log.iter().filter(|item| {
        item.get("clientOrgId")
            .is_some_and(|name| name.as_s().unwrap() == id(&client))
    });
    let actions: Vec<_> = named
        .map(|item| item["action"].as_s().unwrap().as_str())
        .collect();
    assert_eq!(actions, ["client.created", "domain.updated", "domain.deleted"]);
}

#[tokio::test]
async fn what_a_get_returns_can_be_sent_back() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let domain = owner.custom_domain("portal.acme.com").await;
    let mut sent_back = owner.patch(&path(&domain), domain.clone()).await.expect(200);
    sent_back["updatedAt"] = domain["updatedAt"].clone();
    assert_eq!(sent_back, domain);
}

#[tokio::test]
async fn an_unknown_client_and_a_foreign_client_get_the_same_422() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let foreign = api.agency("org_globex").await.client("Globex").await;
    let deleted = owner.client("Deleted").await;
    owner.remove(&deleted).await;
    let domain = owner.subdomain("acme").await;
    let mut responses = Vec::new();
    for client in [NO_CLIENT, id(&foreign), id(&deleted), id(&domain), "org_acme", ""] {
        let answer = owner.patch(&path(&domain), json!({"clientOrgId": client})).await;
        answer.expect_faults(&[("/clientOrgId", "not-allowed")]);
        responses.push(answer.fingerprint());
        let create = owner
            .post(DOMAINS, json!({"subdomain": "other", "clientOrgId": client}))
            .await;
        create.expect_faults(&[("/clientOrgId", "not-allowed")]);
    }
    responses.dedup();
    assert_eq!(responses.len(), 1);
    assert_eq!(owner.list(DOMAINS).await, std::slice::from_ref(&domain));
    assert_eq!(owner.actions().await[0], "domain.created");
    // The error depends on what is stored, and so it comes after 404.
    let absent = format!("{DOMAINS}/{}", NO_DOMAIN);
    owner
        .patch(&absent, json!({"clientOrgId": NO_CLIENT}))
        .await
        .problem(404, "not-found");
    for value in [json!(1), json!(true), json!([]), json!({})] {
        let answer = owner
            .patch(&path(&domain), json!({"clientOrgId": value, "color": 1}))
            .await;
        answer.expect_faults(&[("/clientOrgId", "wrong-type"), ("/color", "unknown-property")]);
    }
}

#[tokio::test]
async fn a_clients_domain_is_not_the_agencys_primary_domain() {
    let api = Api::build(System::builder().at(START)).await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Client").await;
    let label = owner.subdomain("acme").await;
    let custom = owner.verified_domain("portal.acme.test").await;
    let primary = async || owner.overview().await["primaryDomain"].clone();
    let give = async |domain: &Value, client: Value| {
        owner
            .patch(&path(domain), json!({"clientOrgId": client}))
            .await
            .expect(200)
    };
    assert_eq!(primary().await, "portal.acme.test");
    give(&custom, json!(id(&client))).await;
    assert_eq!(primary().await, "acme.portal.localhost");
    give(&label, json!(id(&client))).await;
    assert_eq!(primary().await, Value::Null);
    // A check that changes what the domain is to its portal.
    api.dns.set_zone("").unwrap();
    assert_eq!(api.verify(&custom).await["status"], "failing");
    assert_eq!(primary().await, Value::Null);
    api.dns.set_zone(&cname(&custom)).unwrap();
    assert_eq!(api.verify(&custom).await["status"], "verified");
    assert_eq!(primary().await, Value::Null);
    give(&custom, Value::Null).await;
    assert_eq!(primary().await, "portal.acme.test");
    // The counts have the domains of clients, too.
    assert_eq!(owner.overview().await["portalDomains"]["total"], 2);
}

/// A check that has read the domain before it was given to a client does not write.
#[tokio::test]
async fn a_check_does_not_undo_an_update() {
    let api = Api::build(System::builder().at(START).counted()).await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Client").await;
    let domain = owner.custom_domain("portal.acme.test").await;
    api.dns.set_zone(&cname(&domain)).unwrap();
    let proves = |_: &str, body: &Value| body.to_string().contains("verifiedCount");
    api.proxy()
        .inject(Fault::conflict().on("TransactWriteItems").when(proves).times(2));
    let path = path(&domain);
    let (checked, given) = tokio::join!(
        owner.verify(&domain),
        owner.patch(&path, property("clientOrgId", id(&client)))
    );
    let (checked, given) = (checked.expect(200), given.expect(200));
    assert_eq!(given["clientOrgId"], id(&client));
    assert!(checked["status"] == "verified" || checked == given);
    api.assert_faults_met();
    assert_eq!(api.now(&domain).await["clientOrgId"], id(&client));
}
