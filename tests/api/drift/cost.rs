//! The read and write units of each operation are those on the operator's page.

use std::{fs, time::Duration};

use local::{fault::Request, system::System};
use serde_json::json;

use crate::harness::{
    Api, DAY, DOMAINS, START, User, cname,
    operations::{Operation, SampleTenant, operation, operations},
    property,
    template::root,
};

/// Read and write units, if no item has more than 4 KB to read or 1 KB to write.
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
    let api = Api::build(System::builder().at(START).counted()).await;
    let tenant = SampleTenant::new(&api, "org_a", "one").await;
    let owner = &tenant.owner;
    let domain = owner.get(&tenant.domain_path()).await.expect(200);
    api.dns.set_zone(&cname(&domain)).unwrap();
    let mut rows = at_a_clients_host(&api, &tenant).await;
    for operation in operations() {
        let new = api.user("org_new", "owner");
        let client = api.user(&tenant.names.client, "member");
        let cases: Vec<(&str, &User<'_>, _)> = match operation.id.as_str() {
            "enableAgency" => vec![("", &new, None)],
            // The name alone: another slug costs more.
            "updateClientOrg" => vec![("", owner, Some(property("name", "Two")))],
            "createPortalDomain" => vec![
                (", a subdomain", owner, Some(property("subdomain", "two"))),
                (", a custom domain", owner, None),
            ],
            "verifyPortalDomain" => vec![(", proven", owner, None)],
            "getPortalContext" => vec![
                (", an agency's user", owner, None),
                (", a client's user", &client, None),
            ],
            _ => vec![("", owner, None)],
        };
        for (case, user, body) in cases {
            // A domain is checked once in 5 s.
            api.advance(Duration::from_secs(6));
            api.proxy().take_requests();
            let Operation { id, method, .. } = operation;
            let body = body.or_else(|| operation.body.clone());
            let path = operation.uri(&tenant.names);
            let answer = user.call(method.clone(), &path, &[], body).await;
            assert_eq!(answer.status.as_u16(), operation.success, "{answer:?}");
            let (read, written) = units(&api.proxy().take_requests());
            rows.push(format!("| `{id}`{case} | {read} | {written} |"));
        }
    }
    api.proxy().take_requests();
    api.hosts(1000).await;
    let (read, written) = units(&api.proxy().take_requests());
    rows.push(format!(
        "| a page of `hosts` with one host | {read} | {written} |"
    ));
    let (idle, renewal) = sweeps().await;
    rows.push(format!("| a sweep with nothing due | {} | {} |", idle.0, idle.1));
    let (read, written) = (renewal.0 - idle.0, renewal.1 - idle.1);
    rows.push(format!(
        "| a check in a sweep, that renews | {read} | {written} |"
    ));
    rows
}

/// The rows of the operations that show the portal of a client at its own host.
async fn at_a_clients_host(api: &Api, tenant: &SampleTenant<'_>) -> Vec<String> {
    let body = json!({"subdomain": "one-client", "clientOrgId": tenant.names.client});
    let domain = tenant.owner.post(DOMAINS, body).await.expect(201);
    let user = api.user(&tenant.names.client, "member");
    let mut rows = Vec::new();
    for (id, case, user) in [
        (
            "getPortalContext",
            ", an agency's user at a client's `host`",
            &tenant.owner,
        ),
        ("getPortalContext", ", a client's user at its own `host`", &user),
        ("getPublicBranding", " of a client's host", &user),
        ("getThemeCss", " of a client's host", &user),
    ] {
        api.proxy().take_requests();
        let path = format!("{}?host=one-client.portal.localhost", operation(id).path);
        assert_eq!(user.get(&path).await.status, 200);
        let (read, written) = units(&api.proxy().take_requests());
        rows.push(format!("| `{id}`{case} | {read} | {written} |"));
    }
    tenant.owner.remove(&domain).await;
    rows
}

/// The units of a sweep with nothing due, and with one verified domain.
async fn sweeps() -> ((usize, usize), (usize, usize)) {
    let api = Api::build(System::builder().at(START).counted()).await;
    let owner = api.agency("org_a").await;
    owner.verified_domain("portal.acme.test").await;
    let sweep = async || {
        api.proxy().take_requests();
        let report = api.reverify().await;
        (report.verified, units(&api.proxy().take_requests()))
    };
    let idle = sweep().await;
    api.advance(2 * DAY);
    let renewal = sweep().await;
    assert_eq!((idle.0, renewal.0), (0, 1));
    (idle.1, renewal.1)
}

#[tokio::test]
async fn the_operators_page_has_the_units_of_every_operation() {
    let page = fs::read_to_string(root().join("OPERATIONS.md")).unwrap();
    let rows = rows().await;
    let missing: Vec<_> = rows.iter().filter(|row| !page.contains(row.as_str())).collect();
    assert!(
        missing.is_empty(),
        "OPERATIONS.md should have:\n{}",
        rows.join("\n")
    );
}
