use serde_json::{Map, Value, json};

use super::{
    get_public_branding::{branding, shown_branding},
    put_portal_config::{defaults, opposites},
};
use crate::harness::{Api, BRANDING, CONFIG, CONTEXT, NO_CLIENT, id, path};

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
