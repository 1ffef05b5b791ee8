//! Tenants: none sees, changes or guesses anything of another.

use std::collections::BTreeSet;

use local::{
    environment::{AUDIENCE, ISSUER},
    token::encode_claims,
};
use serde_json::{Value, json};

use crate::harness::{
    Api, BRANDING, CLIENTS, CONTEXT, NO_CLIENT, User, id,
    operations::{Names, SampleTenant, operations, operations_where},
};

#[tokio::test]
async fn unknown_id_and_foreign_id_return_the_same_404() {
    let api = Api::start().await;
    let acme = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let globex = SampleTenant::new(&api, "org_globex", "globexword").await;
    let before = acme.everything().await;
    let mut details = BTreeSet::new();
    for operation in operations_where(|operation| operation.names_a_resource()) {
        let foreign = operation.send(&globex.owner, &acme.names).await;
        details.insert(foreign.problem(404, "not-found")["detail"].to_string());
        let unknown = operation.send(&globex.owner, &Names::absent()).await;
        assert_eq!(foreign.fingerprint(), unknown.fingerprint(), "{}", operation.id);
        // An own id of the other type is unknown, too.
        let swapped = Names {
            client: globex.names.domain.clone(),
            domain: globex.names.client.clone(),
            ..globex.names.clone()
        };
        let swapped = operation.send(&globex.owner, &swapped).await;
        assert_eq!(swapped.fingerprint(), unknown.fingerprint(), "{}", operation.id);
    }
    assert_eq!(details.len(), 1, "{details:?}");
    assert_eq!(acme.everything().await, before);
}

#[tokio::test]
async fn no_response_to_one_tenant_tells_of_another() {
    let api = Api::start().await;
    // The OpenAPI document has org_acme in its examples.
    let acme = SampleTenant::new(&api, "org_zenith", "acmeword").await;
    let globex = SampleTenant::new(&api, "org_globex", "globexword").await;
    // Organizations whose ids are nearly the same.
    let near = SampleTenant::new(&api, "org_zenit", "nearword").await;
    let case = SampleTenant::new(&api, "ORG_ZENITH", "caseword").await;
    let client = api.user(&globex.names.client, "owner");
    let absent = Names::absent();
    let before = acme.everything().await;
    for operation in operations() {
        for (user, names) in [
            (&globex.owner, &globex.names),
            (&near.owner, &near.names),
            (&case.owner, &case.names),
            (&client, &absent),
        ] {
            let answer = operation.send(user, names).await;
            assert!(answer.status.as_u16() < 500, "{answer:?}");
            let text = format!("{:?} {}", answer.headers, answer.text);
            for mark in &acme.marks {
                assert!(!text.contains(mark.as_str()), "{} tells {mark}", operation.id);
            }
        }
    }
    assert_eq!(acme.everything().await, before);
}

#[tokio::test]
async fn the_tenant_comes_from_the_token_alone() {
    let api = Api::start().await;
    let acme = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let globex = SampleTenant::new(&api, "org_globex", "globexword").await;
    let before = acme.everything().await;
    let headers = [
        ("x-org-id", "org_acme"),
        ("x-organization-id", "org_acme"),
        ("x-tenant-id", "org_acme"),
        ("x-amzn-oidc-data", "org_acme"),
        ("x-forwarded-user", "org_acme"),
        ("x-forwarded-host", "acmeword-sub.portal.localhost"),
        ("x-http-method-override", "DELETE"),
        ("host", "acmeword-sub.portal.localhost"),
        ("cookie", "org_id=org_acme"),
    ];
    let query = "?org_id=org_acme&organizationId=org_acme&agencyId=org_acme";
    for operation in operations_where(|operation| operation.reads() && !operation.public) {
        let plain = operation.send(&globex.owner, &globex.names).await.expect(200);
        // A list has no unknown parameters.
        let query = if operation.is_list() { "" } else { query };
        let uri = format!("{}{query}", operation.uri(&globex.names));
        let with = globex.owner.call(operation.method.clone(), &uri, &headers, None);
        assert_eq!(with.await.expect(200), plain, "{}", operation.id);
    }
    // A resource of another agency, sent as one's own.
    let theirs = acme.owner.get(BRANDING).await.expect(200);
    let put = globex.owner.put(BRANDING, theirs.clone()).await.expect(200);
    assert_eq!(put["organizationId"], "org_globex");
    assert_ne!(put["id"], theirs["id"]);
    assert_eq!(acme.everything().await, before);
}

/// Whether the client exists or not, and whichever claim names it.
#[tokio::test]
async fn a_user_of_a_client_organization_never_acts_for_an_agency() {
    let api = Api::with(&[("AUTH_CLIENT_CLAIM", "client")]).await;
    let acme = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let deleted = acme.owner.client("Deleted").await;
    acme.owner.remove(&deleted).await;
    let by_claim = |client: Value| {
        let now = api.app.clock.now().seconds();
        api.with_token(encode_claims(&json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "user_1", "org_id": "org_acme", "role": "owner", "exp": now + 600,
            "client": client,
        })))
    };
    let clients = [
        api.user(&acme.names.client, "owner"),
        by_claim(json!(acme.names.client)),
    ];
    let nobodies = [
        api.user(NO_CLIENT, "owner"),
        api.user(id(&deleted), "owner"),
        by_claim(json!(NO_CLIENT)),
        by_claim(json!("org_acme")),
        by_claim(json!(7)),
    ];
    let before = acme.everything().await;
    for operation in operations_where(|operation| operation.in_agency()) {
        let code = match operation.has_problem("client-organization") {
            true => "client-organization",
            false => "agency-not-enabled",
        };
        let mut responses = BTreeSet::new();
        for user in clients.iter().chain(&nobodies) {
            for names in [&acme.names, &Names::absent()] {
                let answer = operation.send(user, names).await;
                answer.problem(403, code);
                responses.insert(answer.fingerprint());
            }
        }
        assert_eq!(responses.len(), 1, "{}", operation.id);
        if operation.has_problem("role-too-low") {
            for id in [acme.names.client.as_str(), NO_CLIENT] {
                let member = operation.send(&api.user(id, "member"), &acme.names).await;
                member.problem(403, "role-too-low");
            }
        }
    }
    assert_eq!(acme.everything().await, before);
    for user in &clients {
        let context = user.get(CONTEXT).await.expect(200);
        assert_eq!(context["organization"]["id"], acme.names.client);
    }
    for user in &nobodies {
        user.get(CONTEXT).await.problem(404, "no-portal");
    }
}

#[tokio::test]
async fn an_organization_that_is_no_agency_is_403_for_everything_but_enable() {
    let api = Api::start().await;
    let acme = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let stranger: User<'_> = api.user("org_stranger", "owner");
    let refused = operations_where(|operation| operation.has_problem("agency-not-enabled"));
    assert_eq!(
        refused.len() + 1,
        operations_where(|operation| operation.in_agency()).len()
    );
    for operation in refused {
        let foreign = operation.send(&stranger, &acme.names).await;
        foreign.problem(403, "agency-not-enabled");
        let unknown = operation.send(&stranger, &Names::absent()).await;
        assert_eq!(foreign.fingerprint(), unknown.fingerprint(), "{}", operation.id);
    }
    for slug in ["acmeword-client", "No%20Slug"] {
        let answer = stranger.get(&format!("{CLIENTS}?slug={slug}")).await;
        answer.problem(403, "agency-not-enabled");
    }
    stranger.get(CONTEXT).await.problem(404, "no-portal");
    // The rejected requests have created nothing.
    stranger.post("/agency/enable", Value::Null).await.expect(200);
    assert_eq!(stranger.audit().await.len(), 1);
    let overview = stranger.overview().await;
    assert_eq!(
        (&overview["clientCount"], &overview["portalDomains"]["total"]),
        (&json!(0), &json!(0))
    );
}
