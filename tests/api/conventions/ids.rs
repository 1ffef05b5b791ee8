//! Ids in paths.

use crate::harness::{
    Api,
    operations::{Names, SampleTenant, operations_where},
};

/// What is not the id of a resource, in the form of one.
fn wrong_ids(id: &str) -> Vec<String> {
    let (prefix, uuid) = id.split_once('_').unwrap();
    vec![
        "x".to_owned(),
        "..".to_owned(),
        ".".to_owned(),
        "..%2F..".to_owned(),
        "%00".to_owned(),
        "%FF".to_owned(),
        "%".to_owned(),
        "%zz".to_owned(),
        format!("{prefix}_"),
        uuid.to_owned(),
        format!("{prefix}_{}", uuid.to_uppercase()),
        format!("{}_{uuid}", prefix.to_uppercase()),
        format!("{prefix}_{}", uuid.replace('-', "")),
        format!("{prefix}_%7B{uuid}%7D"),
        format!("{prefix}_urn:uuid:{uuid}"),
        format!("{prefix}_00000000-0000-0000-0000-000000000000"),
        // A UUID of another version.
        format!("{prefix}_6ba7b810-9dad-41d1-80b4-00c04fd430c8"),
        format!("log_{uuid}"),
        format!("%20{id}"),
        format!("{id}%0A"),
        format!("{id}%23"),
        "a".repeat(8000),
    ]
}

#[tokio::test]
async fn what_is_not_an_id_is_404_in_the_words_of_an_unknown_id() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let visitor = api.visitor();
    for operation in operations_where(|operation| operation.names_a_resource()) {
        let unknown = operation.send(&tenant.owner, &Names::absent()).await;
        let detail = unknown.problem(404, "not-found")["detail"].clone();
        let ids = wrong_ids(&tenant.names.client)
            .into_iter()
            .zip(wrong_ids(&tenant.names.domain));
        for (client, domain) in ids {
            let names = Names {
                client,
                domain,
                ..tenant.names.clone()
            };
            let problem = operation
                .send(&tenant.owner, &names)
                .await
                .problem(404, "not-found");
            assert_eq!(problem["detail"], detail, "{} {names:?}", operation.id);
            // Authentication comes first, as for any id.
            let refused = operation.send(&visitor, &names).await;
            refused.problem(401, "missing-token");
        }
    }
}

#[tokio::test]
async fn a_percent_encoded_id_is_the_id() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let names = Names {
        client: tenant.names.client.replace('_', "%5F"),
        domain: tenant.names.domain.replace('_', "%5F"),
        ..tenant.names.clone()
    };
    for operation in operations_where(|operation| operation.names_a_resource()) {
        let answer = operation.send(&tenant.owner, &names).await;
        assert_eq!(answer.status.as_u16(), operation.success, "{answer:?}");
    }
}
