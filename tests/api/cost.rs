//! What each operation costs at the table is what `OPERATIONS.md` counts with.

use std::fs;

use local::fault::Request;
use serde_json::{Value, json};

use crate::{
    drift::root,
    harness::{Api, User},
    lifecycle,
};

/// Read and write units, where no item is over 4 KB to read or 1 KB to write.
fn units(sent: &[Request]) -> (usize, usize) {
    let (mut read, mut written) = (0, 0);
    for request in sent {
        let items = request.permissions();
        let units = items.len() * if request.is_transaction() { 2 } else { 1 };
        let reads = items
            .iter()
            .all(|action| action.contains("Get") || action == "Query");
        *(if reads { &mut read } else { &mut written }) += units;
    }
    (read, written)
}

/// The rows of the page's table.
async fn rows() -> Vec<String> {
    let api = Api::counted().await;
    let owner = api.user("org_a", "owner");
    let mut rows = Vec::new();
    let mut row = |operation: &str| {
        let (read, written) = units(&api.proxy().take_requests());
        rows.push(format!("| {operation} | {read} | {written} |"));
    };
    let post = async |path: &str, body: Value| owner.post(path, body).await.json();
    let id = |of: &Value| of["id"].as_str().unwrap().to_owned();

    post("/agency/enable", Value::Null).await;
    row("`enableAgency`");
    let client = id(&post("/agency/clients", json!({"name": "One"})).await);
    row("`createClient`");
    owner.get(&format!("/agency/clients/{client}")).await.expect(200);
    row("`getClient`");
    owner.get("/agency/clients").await.expect(200);
    row("`listClients`");
    owner
        .patch(&format!("/agency/clients/{client}"), json!({"name": "Two"}))
        .await
        .expect(200);
    row("`updateClient`");
    owner
        .put("/agency/branding", json!({"footerText": "x"}))
        .await
        .expect(200);
    row("`putBranding`");
    owner.get("/agency/branding").await.expect(200);
    row("`getBranding`");
    owner
        .put("/agency/portal-config", json!({"featureLogs": false}))
        .await
        .expect(200);
    row("`putPortalConfig`");
    owner.get("/agency/portal-config").await.expect(200);
    row("`getPortalConfig`");
    let label = id(&post("/agency/portal-domains", json!({"subdomain": "one"})).await);
    row("`createPortalDomain`, a subdomain");
    let domain = post(
        "/agency/portal-domains",
        json!({"customDomain": "portal.acme.test"}),
    )
    .await;
    row("`createPortalDomain`, a custom domain");
    owner
        .get(&format!("/agency/portal-domains/{label}"))
        .await
        .expect(200);
    row("`getPortalDomain`");
    owner.get("/agency/portal-domains").await.expect(200);
    row("`listPortalDomains`");
    verify(&api, &owner, &domain).await;
    row("`verifyPortalDomain`, proven");
    owner.get("/agency/overview").await.expect(200);
    row("`getOverview`");
    owner.get("/agency/audit").await.expect(200);
    row("`listAuditEntries`");
    owner.get("/portal/context").await.expect(200);
    row("`getPortalContext`, an agency's user");
    api.user(&client, "member")
        .get("/portal/context")
        .await
        .expect(200);
    row("`getPortalContext`, a client's user");
    for (operation, path) in [
        ("`getPublicBranding`", "/portal/branding?host=portal.acme.test"),
        ("`getThemeCss`", "/portal/theme.css?host=portal.acme.test"),
        ("`checkTls`", "/portal/tls-check?domain=portal.acme.test"),
        ("`getHealth`", "/health"),
    ] {
        let answer = api.visitor().get(path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        row(operation);
    }
    owner
        .delete(&format!("/agency/portal-domains/{}", id(&domain)))
        .await
        .expect(204);
    row("`deletePortalDomain`");
    owner
        .delete(&format!("/agency/clients/{client}"))
        .await
        .expect(204);
    row("`deleteClient`");
    let (idle, renewal) = sweeps().await;
    rows.push(format!("| a sweep with nothing due | {} | {} |", idle.0, idle.1));
    let (read, written) = (renewal.0 - idle.0, renewal.1 - idle.1);
    rows.push(format!(
        "| a check in a sweep, that renews | {read} | {written} |"
    ));
    rows
}

/// What a sweep costs with nothing due, and with one verified domain.
async fn sweeps() -> ((usize, usize), (usize, usize)) {
    let api = Api::build(lifecycle::system().counted()).await;
    let owner = api.agency("org_a").await;
    let domain = owner.custom_domain("portal.acme.test").await;
    verify(&api, &owner, &domain).await;
    let sweep = async || {
        api.proxy().take_requests();
        let report = api.reverify().await;
        (report.verified, units(&api.proxy().take_requests()))
    };
    let idle = sweep().await;
    api.advance(2 * lifecycle::DAY);
    let renewal = sweep().await;
    assert_eq!((idle.0, renewal.0), (0, 1));
    (idle.1, renewal.1)
}

async fn verify(api: &Api, owner: &User<'_>, domain: &Value) {
    let records = domain["records"].as_array().unwrap();
    let record = records.iter().find(|record| record["type"] == "CNAME").unwrap();
    let (name, value) = (
        record["name"].as_str().unwrap(),
        record["value"].as_str().unwrap(),
    );
    api.dns.set_zone(&format!("{name}. CNAME {value}.")).unwrap();
    let path = format!("/agency/portal-domains/{}/verify", domain["id"].as_str().unwrap());
    let checked = owner.post(&path, Value::Null).await.expect(200);
    assert_eq!(checked["status"], "verified", "{checked}");
}

#[tokio::test]
async fn the_units_of_each_operation_are_those_of_the_operator_s_page() {
    let page = fs::read_to_string(root().join("OPERATIONS.md")).unwrap();
    let rows = rows().await;
    let missing: Vec<_> = rows.iter().filter(|row| !page.contains(row.as_str())).collect();
    assert!(
        missing.is_empty(),
        "OPERATIONS.md should say:\n{}",
        rows.join("\n")
    );
}
