use std::{collections::HashSet, time::Duration};

use futures::future::join_all;
use local::{fault::Fault, system::System};
use serde_json::{Value, json};

use crate::harness::{Api, DOMAINS, NO_CLIENT, NO_DOMAIN, START, User, cname, id, path, property};

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
    let sent_back = owner.patch(&path(&domain), domain.clone()).await;
    assert_eq!(sent_back.expect(200), domain);
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

/// The hostnames of all primary domains of the agency and its clients.
async fn primaries(owner: &User<'_>) -> Vec<String> {
    let domains = owner.list(DOMAINS).await;
    let primary = domains.iter().filter(|domain| domain["primary"] == true);
    primary
        .map(|domain| domain["hostname"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn one_domain_of_each_portal_is_primary() {
    let api = Api::build(System::builder().at(START)).await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Client").await;
    let (one, two) = (owner.subdomain("one").await, owner.subdomain("two").await);
    let body = json!({"subdomain": "three", "clientOrgId": id(&client)});
    let three = owner.post(DOMAINS, body).await.expect(201);
    let set = async |domain: &Value, update: Value| owner.patch(&path(domain), update).await.expect(200);
    let shown = async || {
        let user = api.user(id(&client), "member");
        let of_client = user.get("/portal/context").await.expect(200)["domain"]["hostname"].clone();
        (owner.overview().await["primaryDomain"].clone(), of_client)
    };
    let host = |label: &str| json!(format!("{label}.portal.localhost"));
    assert!(primaries(&owner).await.is_empty());
    assert_eq!(shown().await, (host("one"), host("three")));

    assert_eq!(set(&two, json!({"primary": true})).await["primary"], true);
    assert_eq!(shown().await, (host("two"), host("three")));
    let entry = &owner.audit().await[0];
    assert_eq!(
        (&entry["before"], &entry["after"]),
        (&json!({"primary": false}), &json!({"primary": true}))
    );
    set(&three, json!({"primary": true})).await;
    set(&one, json!({"primary": true})).await;
    assert_eq!(
        primaries(&owner).await,
        ["one.portal.localhost", "three.portal.localhost"]
    );
    assert_eq!(shown().await, (host("one"), host("three")));
    // The former primary domain is in the same entry.
    let log = owner.audit().await;
    let former = json!({"primary": false, "primaryDomain": id(&two)});
    assert_eq!(
        (&log[0]["before"], &log[0]["after"]),
        (&former, &json!({"primary": true}))
    );
    assert_eq!(log[0]["target"]["id"], id(&one));
    assert_eq!(log[1]["target"]["id"], id(&three));

    // A move ends it, in the portal that the domain leaves.
    assert_eq!(
        set(&one, json!({"clientOrgId": id(&client)})).await["primary"],
        false
    );
    assert_eq!(primaries(&owner).await, ["three.portal.localhost"]);
    assert_eq!(shown().await, (host("two"), host("three")));
    // A move to be the primary domain.
    set(&two, json!({"clientOrgId": id(&client), "primary": true})).await;
    assert_eq!(primaries(&owner).await, ["two.portal.localhost"]);
    assert_eq!(shown().await, (json!(null), host("two")));
    set(&two, json!({"primary": false})).await;
    assert_eq!(shown().await.1, host("one"));
    set(&two, json!({"primary": true})).await;
    owner.remove(&two).await;
    set(&three, json!({"primary": true})).await;
    assert_eq!(shown().await, (json!(null), host("three")));
}

#[tokio::test]
async fn a_primary_domain_that_is_not_served_is_passed_over() {
    let api = Api::build(System::builder().at(START)).await;
    let owner = api.agency("org_acme").await;
    let label = owner.subdomain("acme").await;
    let older = owner.custom_domain("older.acme.test").await;
    let newer = owner.custom_domain("newer.acme.test").await;
    let primary = async || owner.overview().await["primaryDomain"].clone();
    owner
        .patch(&path(&newer), json!({"primary": true}))
        .await
        .expect(200);
    assert_eq!(primary().await, "acme.portal.localhost");
    let both = [cname(&older), cname(&newer)].concat();
    api.dns.set_zone(&both).unwrap();
    api.verify(&older).await;
    assert_eq!(primary().await, "older.acme.test");
    api.verify(&newer).await;
    assert_eq!(primary().await, "newer.acme.test");
    api.dns.set_zone(&cname(&older)).unwrap();
    assert_eq!(api.verify(&newer).await["status"], "failing");
    assert_eq!(primary().await, "older.acme.test");
    owner
        .patch(&path(&label), json!({"primary": true}))
        .await
        .expect(200);
    assert_eq!(primary().await, "acme.portal.localhost");
}

#[tokio::test]
async fn a_redirect_leads_to_another_domain_of_the_same_portal() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Client").await;
    let foreign = api.agency("org_globex").await.subdomain("globex").await;
    let (one, two) = (owner.subdomain("one").await, owner.subdomain("two").await);
    let three = owner.subdomain("three").await;
    let body = json!({"subdomain": "of-client", "clientOrgId": id(&client)});
    let of_client = owner.post(DOMAINS, body).await.expect(201);
    let to =
        async |domain: &Value, target: &str| owner.patch(&path(domain), json!({"redirectTo": target})).await;
    let mut responses = Vec::new();
    for target in [
        NO_DOMAIN,
        id(&foreign),
        "",
        "x",
        id(&client),
        id(&of_client),
        id(&one),
    ] {
        let answer = to(&one, target).await;
        answer.expect_faults(&[("/redirectTo", "not-allowed")]);
        responses.push(answer.fingerprint());
    }
    responses.dedup();
    assert_eq!(responses.len(), 1);

    assert_eq!(to(&one, id(&two)).await.expect(200)["redirectTo"], id(&two));
    assert_eq!(to(&one, id(&two)).await.expect(200)["redirectTo"], id(&two));
    // No chain: neither from a target, nor to a domain that redirects.
    to(&two, id(&three))
        .await
        .expect_faults(&[("/redirectTo", "not-allowed")]);
    to(&three, id(&one))
        .await
        .expect_faults(&[("/redirectTo", "not-allowed")]);
    // A target stays while it is one.
    let give = json!({"clientOrgId": id(&client)});
    owner.delete(&path(&two)).await.problem(409, "redirect-target");
    owner
        .patch(&path(&two), give.clone())
        .await
        .problem(409, "redirect-target");
    // A move ends the redirect, and the target is free.
    assert_eq!(
        owner.patch(&path(&one), give).await.expect(200)["redirectTo"],
        Value::Null
    );
    assert_eq!(
        to(&one, id(&of_client)).await.expect(200)["redirectTo"],
        id(&of_client)
    );
    to(&two, id(&three)).await.expect(200);
    to(&two, id(&three)).await.expect(200);
    owner.remove(&two).await;
    owner.remove(&three).await;
    to(&one, id(&one))
        .await
        .expect_faults(&[("/redirectTo", "not-allowed")]);
    owner
        .patch(&path(&one), json!({"redirectTo": null}))
        .await
        .expect(200);
    owner.remove(&of_client).await;
}

/// One transaction changes the former primary domain and the domain that it redirects to, which can be the same.
#[tokio::test]
async fn a_switch_between_a_domain_and_its_target_is_one_update() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let (old, new) = (owner.subdomain("old").await, owner.subdomain("new").await);
    for (from, to) in [(&old, &new), (&new, &old), (&old, &new)] {
        owner
            .patch(&path(to), json!({"primary": true, "redirectTo": null}))
            .await
            .expect(200);
        let moved = json!({"redirectTo": id(to)});
        assert_eq!(
            owner.patch(&path(from), moved).await.expect(200)["primary"],
            false
        );
        let switch = json!({"primary": true, "redirectTo": null});
        owner.patch(&path(from), switch).await.expect(200);
        let both = json!({"primary": true, "redirectTo": id(from)});
        owner.patch(&path(to), both).await.expect(200);
        owner
            .patch(&path(to), json!({"redirectTo": null}))
            .await
            .expect(200);
    }
    owner.remove(&old).await;
    owner.remove(&new).await;
}

#[tokio::test]
async fn concurrent_updates_make_no_chain_and_no_second_primary_domain() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let mut domains = Vec::new();
    for label in ["one", "two", "three", "four"] {
        domains.push(owner.subdomain(label).await);
    }
    for round in 0..4 {
        let updates = (0..4).flat_map(|from| (0..4).map(move |to| (from, to)));
        let updates = updates.filter(|(from, to)| from != to);
        let all = updates.map(|(from, to)| {
            let (path, target) = (path(&domains[from]), id(&domains[(to + round) % 4]));
            let update = json!({"redirectTo": target, "primary": true});
            let owner = &owner;
            async move { owner.patch(&path, update).await.status.as_u16() }
        });
        let statuses = join_all(all).await;
        assert!(
            statuses.iter().all(|status| [200, 422, 503].contains(status)),
            "{statuses:?}"
        );
        let shown = owner.list(DOMAINS).await;
        assert_eq!(shown.iter().filter(|domain| domain["primary"] == true).count(), 1);
        let redirects = shown.iter().filter(|domain| !domain["redirectTo"].is_null());
        let targets: HashSet<_> = redirects
            .clone()
            .map(|domain| domain["redirectTo"].as_str().unwrap())
            .collect();
        assert!(redirects.clone().count() > 0);
        assert!(
            redirects.into_iter().all(|domain| !targets.contains(id(domain))),
            "{shown:?}"
        );
        for domain in &domains {
            owner
                .patch(&path(domain), json!({"redirectTo": null}))
                .await
                .expect(200);
        }
    }
    // The counts of redirects are right: each domain is free.
    for domain in &domains {
        owner.remove(domain).await;
    }
}

/// What the caller received says nothing of the portal to which the domain moves.
#[tokio::test]
async fn a_move_ends_what_is_sent_back() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Client").await;
    let (one, two) = (owner.subdomain("one").await, owner.subdomain("two").await);
    let update = json!({"primary": true, "redirectTo": id(&two)});
    let mut whole = owner.patch(&path(&one), update).await.expect(200);
    whole["clientOrgId"] = json!(id(&client));
    let moved = owner.patch(&path(&one), whole).await.expect(200);
    assert_eq!(
        (&moved["primary"], &moved["redirectTo"]),
        (&json!(false), &Value::Null)
    );
    owner.remove(&two).await;
}

#[tokio::test]
async fn every_invalid_reference_is_listed_and_comes_before_a_conflict() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let (one, two) = (owner.subdomain("one").await, owner.subdomain("two").await);
    owner
        .patch(&path(&one), property("redirectTo", id(&two)))
        .await
        .expect(200);
    let unknown = json!({"clientOrgId": NO_CLIENT, "redirectTo": NO_DOMAIN});
    let answer = owner.patch(&path(&one), unknown.clone()).await;
    answer.expect_faults(&[("/clientOrgId", "not-allowed"), ("/redirectTo", "not-allowed")]);
    // A move of a target is a conflict, but only to a client that exists.
    let answer = owner.patch(&path(&two), json!({"clientOrgId": NO_CLIENT})).await;
    answer.expect_faults(&[("/clientOrgId", "not-allowed")]);
    let answer = owner
        .patch(
            &path(&one),
            json!({"clientOrgId": NO_CLIENT, "redirectTo": id(&two)}),
        )
        .await;
    answer.expect_faults(&[("/clientOrgId", "not-allowed")]);
}

/// The second request finds the first one's domain as the former primary domain.
#[tokio::test]
async fn equal_updates_at_once_all_succeed() {
    let api = Api::build(System::builder().counted().at(START)).await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Client").await;
    let domain = owner.subdomain("acme").await;
    let path = path(&domain);
    // The first commit waits until the second request has read the domain.
    api.proxy().make_transactions_last(20..=30);
    for update in [
        json!({"primary": true}),
        json!({"primary": true, "clientOrgId": id(&client)}),
        json!({"primary": true, "clientOrgId": null}),
    ] {
        let all = (0..6).map(|_| owner.patch(&path, update.clone()));
        for answer in join_all(all).await {
            answer.expect(200);
        }
    }
}

#[tokio::test]
async fn a_move_to_a_client_and_its_deletion_at_once_exclude_each_other() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let mut outcomes = HashSet::new();
    for round in 0..12 {
        let client = owner.client("Client").await;
        let domain = owner.subdomain(&format!("acme-{round}")).await;
        let (domain_path, client_path) = (path(&domain), path(&client));
        let give = owner.patch(&domain_path, property("clientOrgId", id(&client)));
        let remove = owner.delete(&client_path);
        let (given, removed) = match round % 2 {
            0 => tokio::join!(give, remove),
            _ => {
                let (removed, given) = tokio::join!(remove, give);
                (given, removed)
            }
        };
        let outcome = (given.status.as_u16(), removed.status.as_u16());
        assert!(matches!(outcome, (200, 409) | (422, 204)), "{outcome:?}");
        outcomes.insert(outcome);
        let of_client = owner.get(&domain_path).await.expect(200)["clientOrgId"] == id(&client);
        assert_eq!(of_client, outcome.0 == 200);
        assert_eq!(owner.get(&client_path).await.status == 200, of_client);
    }
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
}
