//! Parameters of the query.

use crate::harness::{
    Api,
    operations::{SampleTenant, operations_where},
};

#[tokio::test]
async fn a_known_parameter_that_is_repeated_or_empty_is_400() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    for operation in operations_where(|operation| operation.parameters("query").count() > 0) {
        for (name, required) in operation.parameters("query") {
            let encoded = format!("%{:02X}{}", name.as_bytes()[0], &name[1..]);
            for query in [
                format!("?{name}"),
                format!("?{name}="),
                format!("?{name}=1&{name}=1"),
                format!("?{name}=1&{name}="),
                format!("?{name}=1&{encoded}=2"),
            ] {
                let answer = tenant.owner.get(&format!("{}{query}", operation.path)).await;
                assert_eq!(answer.status, 400, "{} {query}", operation.path);
                answer.problem(400, "invalid-parameter");
            }
            if required {
                for query in ["", "?", "?x=1", "?hosts=a.com"] {
                    let answer = tenant.owner.get(&format!("{}{query}", operation.path)).await;
                    answer.problem(400, "invalid-parameter");
                }
            }
        }
    }
}

#[tokio::test]
async fn unknown_parameters_are_ignored() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    for operation in operations_where(|operation| operation.reads()) {
        let uri = operation.uri(&tenant.names);
        let plain = tenant.owner.get(&uri).await;
        assert_eq!(plain.status.as_u16(), operation.success, "{plain:?}");
        let joint = if uri.contains('?') { '&' } else { '?' };
        for query in [
            "",
            "x",
            "x=1&x=2",
            "limitx=0",
            "Limit=0",
            "&&",
            "=1",
            "limit%00=0",
            "%FF=%FF",
        ] {
            let answer = tenant.owner.get(&format!("{uri}{joint}{query}")).await;
            assert_eq!(
                (answer.status, answer.text),
                (plain.status, plain.text.clone()),
                "{uri} {query}"
            );
        }
    }
}
