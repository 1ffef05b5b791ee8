//! Parameters of the query.

use crate::harness::{
    Api,
    operations::{Operation, SampleTenant, operations_where},
};

#[tokio::test]
async fn a_known_parameter_that_is_repeated_or_empty_is_400() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    for operation in operations_where(|operation| operation.parameters("query").count() > 0) {
        let path = operation.path(&tenant.names);
        for (name, required) in operation.parameters("query") {
            let encoded = format!("%{:02X}{}", name.as_bytes()[0], &name[1..]);
            for query in [
                format!("?{name}"),
                format!("?{name}="),
                format!("?{name}=1&{name}=1"),
                format!("?{name}=1&{name}="),
                format!("?{name}=1&{encoded}=2"),
            ] {
                let answer = tenant.owner.get(&format!("{path}{query}")).await;
                assert_eq!(answer.status, 400, "{} {query}", operation.path);
                answer.problem(400, "invalid-parameter");
            }
            if required {
                for query in ["", "?", "?x=1", "?hosts=a.com"] {
                    let answer = tenant.owner.get(&format!("{path}{query}")).await;
                    answer.problem(400, "invalid-parameter");
                }
            }
        }
    }
}

const UNKNOWN: [&str; 7] = [
    "x",
    "x=1&x=2",
    "limitx=0",
    "Limit=0",
    "=1",
    "limit%00=0",
    "%FF=%FF",
];

#[tokio::test]
async fn unknown_parameters_are_ignored_except_by_lists() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    for operation in operations_where(|operation| operation.reads()) {
        let uri = operation.uri(&tenant.names);
        let plain = tenant.owner.get(&uri).await;
        assert_eq!(plain.status.as_u16(), operation.success, "{plain:?}");
        let joint = if uri.contains('?') { '&' } else { '?' };
        let unknown = UNKNOWN.iter().filter(|_| !operation.is_list());
        for query in unknown.chain(&["", "&&"]) {
            let answer = tenant.owner.get(&format!("{uri}{joint}{query}")).await;
            assert_eq!(
                (answer.status, answer.text),
                (plain.status, plain.text.clone()),
                "{uri} {query}"
            );
        }
    }
}

/// A mistyped filter must not return everything.
#[tokio::test]
async fn an_unknown_parameter_of_a_list_is_400_and_is_named() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let stranger = api.user("org_none", "owner");
    let lists = operations_where(Operation::is_list);
    for Operation { path, .. } in &lists {
        for query in UNKNOWN.iter().chain(&["limit=1&host=a.com", "domain=a.com"]) {
            for user in [&tenant.owner, &stranger] {
                let answer = user.get(&format!("{path}?{query}")).await;
                answer.problem(400, "invalid-parameter");
            }
        }
        let answer = tenant.owner.get(&format!("{path}?externalid=1")).await;
        let problem = answer.problem(400, "invalid-parameter");
        assert!(
            problem["detail"].as_str().unwrap().contains("`externalid`"),
            "{problem}"
        );
    }
    // The parameters of one list are unknown to the others.
    for (list, other) in lists
        .iter()
        .flat_map(|list| lists.iter().map(move |other| (list, other)))
    {
        for (name, _) in other
            .parameters("query")
            .filter(|(name, _)| !list.takes("query", name))
        {
            let answer = tenant.owner.get(&format!("{}?{name}=acme", list.path)).await;
            answer.problem(400, "invalid-parameter");
        }
    }
}
