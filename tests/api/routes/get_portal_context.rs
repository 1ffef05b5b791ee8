use local::system::System;
use serde_json::{Map, Value, json};

use super::{
    get_public_branding::{branding, shown_branding},
    put_portal_config::{defaults, opposites},
};
use crate::harness::{
    Api, BRANDING, CLIENTS, CONFIG, CONTEXT, DOMAINS, NO_CLIENT, START, User, cname, id, path,
};

#[tokio::test]
async fn the_context_of_an_agency_is_all_that_its_portal_needs() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let empty = owner.get(CONTEXT).await.expect(200);
    let nothing: Map<_, _> = shown_branding()
        .as_object()
        .unwrap()
        .keys()
        .map(|name| (name.clone(), Value::Null))
        .collect();
    assert_eq!(
        empty,
        json!({
            "organization": {"id": "org_acme", "role": "agency", "name": null, "slug": null},
            "branding": nothing,
            "config": defaults(),
            "domain": null,
        })
    );
    owner.put(BRANDING, branding()).await.expect(200);
    owner.put(CONFIG, opposites()).await.expect(200);
    owner.subdomain("acme").await;
    let full = json!({
        "organization": {"id": "org_acme", "role": "agency", "name": null, "slug": null},
        "branding": shown_branding(),
        "config": opposites(),
        "domain": {"hostname": "acme.portal.localhost", "type": "subdomain", "status": "verified"},
    });
    for role in ["owner", "admin", "member", "nonsense"] {
        assert_eq!(
            api.user("org_acme", role).get(CONTEXT).await.expect(200),
            full,
            "{role}"
        );
    }
    owner.verified_domain("portal.acme.com").await;
    let domain = json!({"hostname": "portal.acme.com", "type": "custom", "status": "verified"});
    assert_eq!(owner.get(CONTEXT).await.expect(200)["domain"], domain);
    assert_eq!(owner.overview().await["primaryDomain"], domain["hostname"]);
}

#[tokio::test]
async fn a_user_of_a_client_sees_the_portal_and_no_other_client() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let (client, rival) = (owner.client("Beta GmbH").await, owner.client("Rival Inc").await);
    owner.put(BRANDING, branding()).await.expect(200);
    owner.put(CONFIG, opposites()).await.expect(200);
    owner.subdomain("acme").await;
    let client_id = id(&client);
    let expected = json!({
        "organization": {"id": client_id, "role": "client", "name": "Beta GmbH", "slug": "beta-gmbh"},
        "branding": shown_branding(),
        "config": opposites(),
        "domain": {"hostname": "acme.portal.localhost", "type": "subdomain", "status": "verified"},
    });
    for role in ["owner", "admin", "member"] {
        let answer = api.user(client_id, role).get(CONTEXT).await;
        assert_eq!(answer.expect(200), expected);
        for secret in ["Rival", id(&rival), "org_acme", "edAt", "dom_", "brd_", "user_"] {
            assert!(!answer.text.contains(secret), "{secret}: {}", answer.text);
        }
    }
    let context = async |client: &Value| api.user(id(client), "member").get(CONTEXT).await;
    // It follows a new name at once, and ends with the client.
    let path = path(&client);
    owner
        .patch(&path, json!({"name": "Gamma", "slug": "gamma"}))
        .await
        .expect(200);
    let organization = json!({"id": client_id, "role": "client", "name": "Gamma", "slug": "gamma"});
    assert_eq!(context(&client).await.expect(200)["organization"], organization);
    owner.delete(&path).await.expect(204);
    context(&client).await.problem(404, "no-portal");
    context(&rival).await.expect(200);
}

#[tokio::test]
async fn a_suspended_client_has_no_portal_until_the_suspension_ends() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let (client, other) = (owner.client("Acme").await, owner.client("Other").await);
    let context = async |client: &Value| api.user(id(client), "owner").get(CONTEXT).await;
    let domain = json!({"subdomain": "acme", "clientOrgId": id(&client)});
    let domain = owner.post(DOMAINS, domain).await.expect(201);
    let host = domain["hostname"].as_str().unwrap();
    let at_host = format!("{CONTEXT}?host={host}");
    let expected = context(&client).await.expect(200);
    for _ in 0..2 {
        let suspend = async |suspended: bool| {
            let body = json!({"suspended": suspended});
            owner.patch(&path(&client), body).await.expect(200)
        };
        suspend(true).await;
        context(&client).await.problem(403, "client-suspended");
        for query in [at_host.as_str(), "/portal/context?host=unused.example.com"] {
            let answer = api.user(id(&client), "member").get(query).await;
            answer.problem(403, "client-suspended");
        }
        // The page can explain it, and the agency's users see it.
        assert!(api.serves(host).await);
        owner.get(&at_host).await.expect(200);
        context(&other).await.expect(200);
        owner.get(CONTEXT).await.expect(200);
        suspend(false).await;
        assert_eq!(context(&client).await.expect(200), expected);
    }
}

#[tokio::test]
async fn metadata_and_external_ids_never_appear_in_a_context() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let body = json!({"name": "Acme", "externalId": "secret-id", "metadata": {"secret-key": "secret-value"}});
    let client = owner.post(CLIENTS, body).await.expect(201);
    for user in [api.user(id(&client), "owner"), owner] {
        let answer = user.get(CONTEXT).await;
        answer.expect(200);
        assert!(!answer.text.contains("secret"), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_user_without_a_portal_gets_the_same_404() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let gone = owner.client("Gone").await;
    owner.remove(&gone).await;
    let details = async |org: &str| {
        api.user(org, "owner")
            .get(CONTEXT)
            .await
            .problem(404, "no-portal")["detail"]
            .clone()
    };
    let expected = details("org_none").await;
    for org in [id(&gone), NO_CLIENT] {
        assert_eq!(details(org).await, expected);
    }
}

/// What the context shows at a host: the id of the organization and the host, or the code of the problem.
async fn at(user: &User<'_>, host: &str) -> (u16, String) {
    let answer = user.get(&format!("{CONTEXT}?host={host}")).await;
    let status = answer.status.as_u16();
    let text = match status {
        200 => answer.json()["domain"]["hostname"].clone(),
        _ => answer.json()["code"].clone(),
    };
    (status, text.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn the_context_at_a_host_is_for_the_users_of_its_portal() {
    let api = Api::start().await;
    let (acme, globex) = (api.agency("org_acme").await, api.agency("org_globex").await);
    let (one, two) = (acme.client("One").await, acme.client("Two").await);
    let theirs = globex.client("Theirs").await;
    let host = async |owner: &User<'_>, label: &str, client: Option<&Value>| {
        let client = client.map(id);
        let body = json!({"subdomain": label, "clientOrgId": client});
        owner.post(DOMAINS, body).await.expect(201);
    };
    host(&acme, "acme", None).await;
    host(&acme, "client-one", Some(&one)).await;
    host(&acme, "client-two", Some(&two)).await;
    host(&globex, "globex", None).await;
    host(&globex, "client-theirs", Some(&theirs)).await;
    acme.custom_domain("pending.acme.test").await;
    let users = [
        api.user("org_acme", "member"),
        api.user(id(&one), "member"),
        api.user(id(&two), "member"),
        api.user("org_globex", "member"),
        api.user(id(&theirs), "member"),
    ];
    for (label, expected) in [
        ("acme", [200, 200, 200, 403, 403]),
        ("client-one", [200, 200, 403, 403, 403]),
        ("client-two", [200, 403, 200, 403, 403]),
        ("globex", [403, 403, 403, 200, 200]),
        ("client-theirs", [403, 403, 403, 200, 200]),
    ] {
        let host = format!("{label}.portal.localhost");
        for (user, status) in users.iter().zip(expected) {
            let text = if status == 200 {
                host.as_str()
            } else {
                "wrong-portal"
            };
            assert_eq!(at(user, &host).await, (status, text.to_owned()), "{host}");
        }
        // Written as people write it.
        assert_eq!(
            at(&users[0], &format!("{}.", host.to_uppercase())).await.0,
            expected[0]
        );
    }
    for user in &users {
        for host in [
            "unused.portal.localhost",
            "pending.acme.test",
            "acme.portal.localhost:443",
            "-",
            "%00",
        ] {
            assert_eq!(at(user, host).await, (404, "no-portal".to_owned()), "{host}");
        }
        for query in ["host=", "host=a&host=b"] {
            let answer = user.get(&format!("{CONTEXT}?{query}")).await;
            answer.problem(400, "invalid-parameter");
        }
    }
    // An organization that is no agency is at the wrong portal, and a client that does not exist has none.
    for (org, expected) in [
        ("org_none", (403, "wrong-portal")),
        (NO_CLIENT, (404, "no-portal")),
    ] {
        let (status, code) = at(&api.user(org, "owner"), "acme.portal.localhost").await;
        assert_eq!((status, code.as_str()), expected);
    }
}

#[tokio::test]
async fn a_client_without_a_primary_domain_has_that_of_the_agency() {
    let api = Api::build(System::builder().at(START)).await;
    let owner = api.agency("org_acme").await;
    let (client, other) = (owner.client("Client").await, owner.client("Other").await);
    let domain = async |client: &Value| {
        let user = api.user(id(client), "member");
        user.get(CONTEXT).await.expect(200)["domain"]["hostname"].clone()
    };
    assert_eq!(domain(&client).await, Value::Null);
    owner.subdomain("acme").await;
    assert_eq!(domain(&client).await, "acme.portal.localhost");
    let body = json!({"customDomain": "portal.client.test", "clientOrgId": id(&client)});
    let custom = owner.post(DOMAINS, body).await.expect(201);
    assert_eq!(domain(&client).await, "acme.portal.localhost");
    let body = json!({"subdomain": "client", "clientOrgId": id(&client)});
    let label = owner.post(DOMAINS, body).await.expect(201);
    assert_eq!(domain(&client).await, "client.portal.localhost");
    api.dns.set_zone(&cname(&custom)).unwrap();
    api.verify(&custom).await;
    assert_eq!(domain(&client).await, "portal.client.test");
    assert_eq!(domain(&other).await, "acme.portal.localhost");
    assert_eq!(owner.overview().await["primaryDomain"], "acme.portal.localhost");
    owner.remove(&custom).await;
    owner.remove(&label).await;
    assert_eq!(domain(&client).await, "acme.portal.localhost");
}
#[tokio::test]
async fn the_host_is_the_domain_of_the_context_and_its_client_gives_the_look() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let (client, member) = (owner.client("Client").await, api.user("org_acme", "member"));
    let user = api.user(id(&client), "member");
    owner
        .put(
            BRANDING,
            json!({"footerText": "Agency", "primaryColor": "#111111"}),
        )
        .await
        .expect(200);
    owner
        .put(CONFIG, json!({"featureTerminal": true}))
        .await
        .expect(200);
    let own = format!("{}/branding", path(&client));
    owner.put(&own, json!({"footerText": "Client"})).await.expect(200);
    let own = format!("{}/portal-config", path(&client));
    owner
        .put(&own, json!({"featureTerminal": false}))
        .await
        .expect(200);
    owner.subdomain("acme").await;
    let body = json!({"subdomain": "shop", "clientOrgId": id(&client)});
    owner.post(DOMAINS, body).await.expect(201);
    let context = async |user: &User<'_>, query: &str| {
        let context = user.get(&format!("{CONTEXT}{query}")).await.expect(200);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        assert_eq!(context["branding"]["primaryColor"], "#111111");
        (
            text(&context["branding"]["footerText"]),
            context["config"]["featureTerminal"].as_bool().unwrap(),
            text(&context["domain"]["hostname"]),
        )
    };
    let (acme, shop) = ("acme.portal.localhost", "shop.portal.localhost");
    for (user, query, footer, terminal, host) in [
        (&member, "", "Agency", true, acme),
        (&member, "?host=acme.portal.localhost", "Agency", true, acme),
        // The configuration is that of the user's organization.
        (&member, "?host=shop.portal.localhost", "Client", true, shop),
        (&user, "", "Client", false, shop),
        (&user, "?host=acme.portal.localhost", "Client", false, acme),
        (&user, "?host=shop.portal.localhost", "Client", false, shop),
    ] {
        let expected = (footer.to_owned(), terminal, host.to_owned());
        assert_eq!(context(user, query).await, expected, "{query}");
    }
}
